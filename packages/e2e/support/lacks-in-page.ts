/**
 * Takes away what some browser of today does not have and the client could reach for, Safari 16.4 first of all. Runs in the
 * page before its scripts, and so refers to nothing outside of itself.
 */
export function takeAway(): void {
  // The empty page before it has none of this.
  if (!isSecureContext) return;
  const remove = (from: object | undefined, ...names: string[]) => {
    for (const name of names) {
      if (from && name in from) delete (from as Record<string, unknown>)[name];
    }
  };
  remove(globalThis, 'AudioEncoder', 'AudioDecoder', 'AudioData', 'EncodedAudioChunk', 'MediaStreamTrackProcessor');
  remove(globalThis, 'structuredClone', 'requestIdleCallback', 'scheduler', 'Iterator', 'SharedArrayBuffer');
  remove(Promise, 'withResolvers', 'try');
  remove(AbortSignal, 'any', 'timeout');
  remove(Array, 'fromAsync');
  remove(Object, 'groupBy');
  remove(ArrayBuffer.prototype, 'transfer', 'transferToFixedLength', 'resize');
  remove(Set.prototype, 'union', 'intersection', 'difference', 'symmetricDifference', 'isSubsetOf');
  remove(Uint8Array, 'fromBase64', 'fromHex');
  remove(Uint8Array.prototype, 'toBase64', 'toHex');
  remove(ReadableStream.prototype, 'values');
  remove(ReadableStream.prototype, Symbol.asyncIterator as unknown as string);
  // Where a page cannot choose the loudspeaker, and is not told how late it is.
  remove(AudioContext.prototype, 'setSinkId', 'sinkId', 'outputLatency', 'baseLatency', 'getOutputTimestamp');
  remove(HTMLMediaElement.prototype, 'setSinkId', 'sinkId');
  remove(Navigator.prototype, 'userActivation', 'locks', 'wakeLock', 'mediaSession');
  remove(Document.prototype, 'permissionsPolicy', 'featurePolicy');
  remove(MediaDevices.prototype, 'ondevicechange', 'selectAudioOutput');
  remove(MediaStreamTrack.prototype, 'contentHint', 'getCapabilities');

  navigator.permissions.query = () => Promise.reject(new TypeError('no such permission'));
  const { enumerateDevices } = MediaDevices.prototype;
  MediaDevices.prototype.enumerateDevices = async function () {
    const all = await enumerateDevices.call(this);
    return all.filter(({ kind }) => kind === 'audioinput');
  };
  const OwnContext = AudioContext;
  globalThis.AudioContext = class extends OwnContext {
    constructor(options?: AudioContextOptions) {
      if (options?.sampleRate) throw new DOMException('this rate is not supported', 'NotSupportedError');
      super({ ...options, sampleRate: 44_100 });
    }
  };
}
