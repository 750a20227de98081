import { afterEach, describe, expect, it } from 'vitest';
import { parseAlsa, parseAvFoundation, parseDirectShow, parsePulse } from '../src/sound/devices';
import { SystemSound } from '../src/sound/system-sound';
import { type FakeTools, fakeTools } from './support/fake-tools';

const made: FakeTools[] = [];
afterEach(async () => {
  for (const each of made.splice(0)) await each.remove();
});

async function tools(scripts: Parameters<typeof fakeTools>[0], platform: NodeJS.Platform = 'linux') {
  const found = await fakeTools(scripts);
  made.push(found);
  return { ...found, sound: new SystemSound({ platform, env: found.env }) };
}

describe('the list of devices', () => {
  it('has the names that programs take', async () => {
    const list = (name: string) =>
      `1\talsa_${name}.usb\tmodule\ts16le\tIDLE\n2\talsa_${name}.pci.monitor\tm\ts\tIDLE\n`;
    const { sound } = await tools({
      parec: {},
      pacat: {},
      pactl: `${list('input')}Default Source: alsa_input.usb\nDefault Sink: x\n`,
    });
    const { inputs, outputs } = await sound.devices();
    expect(inputs).toEqual([{ id: 'pulse:alsa_input.usb', label: 'alsa_input.usb', kind: 'input', isDefault: true }]);
    expect(outputs.map(({ id }) => id)).toContain('pulse:alsa_input.pci.monitor');
    const more = await (await tools({ parec: {}, arecord: {}, sox: {}, pactl: list('input') })).sound.devices();
    expect(more.inputs.map(({ id, isDefault }) => [id, isDefault])).toEqual([
      ['pulse:alsa_input.usb', false],
      ['alsa:default', false],
      ['sox:default', false],
    ]);
    const other = (await tools({ sox: {} })).sound;
    expect(await other.devices()).toMatchObject({ inputs: [{ id: 'sox:default' }], outputs: [{ id: 'sox:default' }] });
    expect(await (await tools({})).sound.devices()).toMatchObject({ inputs: [], outputs: [] });
  });

  it('marks what a call takes by itself, whoever lists the devices', async () => {
    const { sound } = await tools({ sox: {}, ffmpeg: AVFOUNDATION }, 'darwin');
    const marked = ({ id, isDefault }: { id: string; isDefault: boolean }) => `${isDefault ? '*' : ''}${id}`;
    expect((await sound.devices()).inputs.map(marked)).toEqual([
      ...['*sox:default', 'ffmpeg:default', 'ffmpeg:0', 'ffmpeg:1', 'ffmpeg:2'],
    ]);
    const { inputs } = await (await tools({ ffmpeg: AVFOUNDATION }, 'darwin')).sound.devices();
    expect(inputs.map(marked)).toEqual(['*ffmpeg:default', 'ffmpeg:0', 'ffmpeg:1', 'ffmpeg:2']);
    expect(inputs[2]?.label).toBe('USB Audio Device');
    // PulseAudio's programs are there, and nobody for them to ask.
    const alsa = await tools({ parec: {}, pactl: 'Connection refused', arecord: 'default\n    Built-in\n' });
    expect((await alsa.sound.devices()).inputs.map(marked)).toEqual(['pulse:default', '*alsa:default']);
  });
});

/** As ffmpeg 7 writes it. */
const AVFOUNDATION = `[AVFoundation indev @ 0x7f8b1a0] AVFoundation video devices:
[AVFoundation indev @ 0x7f8b1a0] [0] FaceTime HD Camera
[AVFoundation indev @ 0x7f8b1a0] [1] Capture screen 0
[AVFoundation indev @ 0x7f8b1a0] AVFoundation audio devices:
[AVFoundation indev @ 0x7f8b1a0] [0] MacBook Pro Microphone
[AVFoundation indev @ 0x7f8b1a0] [1] USB Audio Device
[AVFoundation indev @ 0x7f8b1a0] [2] BlackHole 2ch
[in#0 @ 0x7f8b1c0] Error opening input: Input/output error
Error opening input file .
`;

describe('lists are read as', () => {
  it('PulseAudio and PipeWire write them', () => {
    const info = 'Server Name: x\nDefault Sink: speakers\nDefault Source: mic\n';
    const list = '0\tspeakers\tm\ts\tIDLE\n1\thdmi\tm\ts\tIDLE\n';
    expect(parsePulse(list, info, 'sink').map(({ isDefault }) => isDefault)).toEqual([true, false]);
  });

  it('ALSA writes them', () => {
    const list =
      'null\n    Discard all samples\ndefault\n    Playback/recording\n' +
      'plughw:CARD=USB,DEV=0\n    USB Audio\n    Direct\nhw:CARD=USB\n    x\n';
    expect(parseAlsa(list)).toEqual([
      { name: 'default', label: 'Playback/recording', isDefault: true },
      { name: 'plughw:CARD=USB,DEV=0', label: 'USB Audio, Direct', isDefault: false },
    ]);
  });

  it('ffmpeg writes them on macOS', () => {
    const names = ['default microphone', 'MacBook Pro Microphone', 'USB Audio Device', 'BlackHole 2ch'];
    expect(parseAvFoundation(AVFOUNDATION).map(({ label }) => label)).toEqual(names);
    expect(parseAvFoundation(AVFOUNDATION).map(({ name }) => name)).toEqual(['default', '0', '1', '2']);
    const before5 = AVFOUNDATION.replaceAll('indev', 'input device');
    expect(parseAvFoundation(before5)).toEqual(parseAvFoundation(AVFOUNDATION));
    const none = AVFOUNDATION.replace(/\n.*(MacBook|USB|BlackHole).*/g, '');
    expect(parseAvFoundation(none)).toEqual([]);
  });

  it('ffmpeg writes them on Windows, in all versions', () => {
    const microphones = ['Microphone Array (Realtek(R) Audio)', 'Mikrofon (2- USB-Gerät)', 'OBS Virtual (both)'];
    const devices = microphones.map((name, i) => ({ name, label: name, isDefault: i === 0 }));
    const other = '  Alternative name "@device_cm_{33D9A762-90C8-11D0-BD43-00A0C911CE86}\\wave_{E95EA6B6}"';
    // Until 4.4 a headline says what follows.
    const until4 = [
      '[dshow @ 029e2ae0] DirectShow video devices (some may be both video and audio devices)',
      '[dshow @ 029e2ae0]  "HD Webcam [Fixed]"',
      `[dshow @ 029e2ae0]   ${other}`,
      '[dshow @ 029e2ae0] DirectShow audio devices',
      ...microphones.flatMap((name) => [`[dshow @ 029e2ae0]  "${name}"`, `[dshow @ 029e2ae0]   ${other}`]),
      'dummy: Immediate exit requested',
    ];
    expect(parseDirectShow(until4.join('\r\n'))).toEqual(devices);
    const nobody = [...until4.slice(0, 4), '[dshow @ 029e2ae0] Could not enumerate audio devices.', until4.at(-1)];
    expect(parseDirectShow(nobody.join('\r\n'))).toEqual([]);
    // From 5 on every line does; in 8 the first ones are said by another part.
    const from5 = [
      '[in#0 @ 000001bd07e70b00] "screen-capture-recorder" (video)',
      `[in#0 @ 000001bd07e70b00] ${other}`,
      `[dshow @ 000002798dd4fb80] "${microphones[0]}" (audio)`,
      `[dshow @ 000002798dd4fb80] ${other}`,
      `[dshow @ 000002798dd4fb80] "${microphones[1]}" (audio)`,
      `[dshow @ 000002798dd4fb80] ${other}`,
      `[dshow @ 000002798dd4fb80] "${microphones[2]}" (video, audio)`,
      '[dshow @ 000002798dd4fb80] "A card without pins (audio)" (none)',
      '[in#0 @ 000001bd07e70b00] Error opening input: Immediate exit requested',
    ];
    expect(parseDirectShow(from5.join('\r\n'))).toEqual(devices);
  });
});
