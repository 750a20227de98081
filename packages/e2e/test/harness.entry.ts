/** A page that plays what its microphone hears, at half the loudness. */
const context = new AudioContext();
const stream = await navigator.mediaDevices.getUserMedia({
  audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
});
const gain = new GainNode(context, { gain: 0.5 });
context.createMediaStreamSource(stream).connect(gain).connect(context.destination);
await new Promise((resolve) => setTimeout(resolve, 2000));
document.title = 'played';

export {};
