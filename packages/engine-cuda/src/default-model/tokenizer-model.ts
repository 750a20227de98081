/** Words the untrained model may say: it picks them at random. */
const WORDS =
  'the of and to in is that it was for on are as with his they be at one have this from or had by not word but what some we ' +
  'can out other were all there when up use your how said an each she which do their time if will way about many then them ' +
  'would like so these her long make thing see him two has look more day could go come did number sound no most people my ' +
  'over know water than call first who may down side been now find any new work part take get place made live where after ' +
  'back little only round man year came show every good me give our under name very through just form great think say help ' +
  'low line differ turn cause much mean before move right boy old too same tell does set three want air well also play small ' +
  'end put home read hand port large spell add even land here must big high such follow act why ask men change went light ' +
  'kind off need house picture try us again animal point mother world near build self earth father head stand own page should ' +
  'country found answer school grow study still learn plant cover food sun four between state keep eye never last let thought ' +
  'city tree cross farm hard start might story saw far sea draw left late run while press close night real life few north';

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'-:;";

enum Kind {
  normal = 1,
  unknown = 2,
  control = 3,
  byte = 6,
}

function varint(value: number): number[] {
  const out: number[] = [];
  let left = value;
  while (left >= 0x80) {
    out.push((left & 0x7f) | 0x80);
    left = Math.floor(left / 128);
  }
  out.push(left);
  return out;
}

const field = (number: number, bytes: number[] | Uint8Array): number[] => [
  ...varint(number * 8 + 2),
  ...varint(bytes.length),
  ...bytes,
];

function piece(text: string, score: number, kind: Kind): number[] {
  const float = new Uint8Array(new Float32Array([score]).buffer);
  return field(1, [...field(1, new TextEncoder().encode(text)), 0x15, ...float, 0x18, kind]);
}

/** A SentencePiece unigram model in its protobuf form, with byte fallback. `words` are the ids of whole words, [first, end). */
export function encodeTokenizerModel(): { bytes: Uint8Array; size: number; words: [first: number, end: number] } {
  const pieces: number[][] = [
    piece('<unk>', 0, Kind.unknown),
    piece('<s>', 0, Kind.control),
    piece('</s>', 0, Kind.control),
    piece('<pad>', 0, Kind.control),
  ];
  for (let byte = 0; byte < 256; byte++) {
    pieces.push(piece(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, 0, Kind.byte));
  }
  let rank = 0;
  const first = pieces.length;
  for (const word of WORDS.split(' ')) pieces.push(piece(`▁${word}`, -4 - rank++ / 64, Kind.normal));
  const end = pieces.length;
  pieces.push(piece('▁', -9, Kind.normal));
  for (const letter of LETTERS) pieces.push(piece(letter, -10 - rank++ / 64, Kind.normal));
  const flag = (number: number, value: number) => [...varint(number * 8), ...varint(value)];
  const trainer = [...flag(3, 1), ...flag(35, 1), ...flag(40, 0), ...flag(41, 1), ...flag(42, 2), ...flag(43, 3)];
  const normalizer = [...flag(3, 1), ...flag(4, 0), ...flag(5, 1)];
  return {
    bytes: Uint8Array.from([...pieces.flat(), ...field(2, trainer), ...field(3, normalizer)]),
    size: pieces.length,
    words: [first, end],
  };
}
