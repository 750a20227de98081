/** A tensor to be written. */
export interface TensorData {
  shape: number[];
  values: Float32Array;
  type: 'F32' | 'BF16';
}

function bf16(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    // Round to nearest, ties to even.
    out[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(out.buffer);
}

/** The bytes of a safetensors file with these tensors, in the order given. */
export function encodeSafetensors(tensors: Map<string, TensorData>): Uint8Array {
  const header: Record<string, unknown> = {};
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { shape, values, type }] of tensors) {
    const bytes = type === 'BF16' ? bf16(values) : new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    header[name] = { dtype: type, shape, data_offsets: [offset, offset + bytes.length] };
    parts.push(bytes);
    offset += bytes.length;
  }
  let json = new TextEncoder().encode(JSON.stringify(header));
  const padded = new Uint8Array(Math.ceil(json.length / 8) * 8).fill(0x20);
  padded.set(json);
  json = padded;
  const out = new Uint8Array(8 + json.length + offset);
  new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true);
  out.set(json, 8);
  let at = 8 + json.length;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
