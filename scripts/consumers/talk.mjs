// What every empty project does with the installed packages: says a tone to a server that says it back, and measures what returns.
const SECONDS = 1;

/** Resolves with the seconds heard and how loud they were; the tone's loudness is 0.35. */
export async function talk(connect, url) {
  const session = await connect(url);
  let samples = 0;
  let energy = 0;
  const enough = new Promise((resolve, reject) => {
    session.on('audio', ({ pcm }) => {
      samples += pcm.length;
      for (const sample of pcm) energy += sample * sample;
      // The loopback engine is a frame late.
      if (samples >= (SECONDS - 0.1) * 24_000) resolve();
    });
    session.on('closed', ({ code }) => reject(new Error(`closed with ${code}`)));
  });
  session.sendAudio(Float32Array.from({ length: SECONDS * 24_000 }, (_, n) => 0.5 * Math.sin(n / 10)));
  await session.finish();
  await enough;
  await session.close();
  const loudness = Math.sqrt(energy / samples);
  if (!(loudness > 0.3 && loudness < 0.4)) throw new Error(`what came back is ${loudness} loud, and not 0.35`);
  return { seconds: samples / 24_000, loudness };
}
