import { effect } from '@preact/signals';
import type { Call } from '../state/call';

const BARS = 40;
/** Where a half's bars begin and end, in radians from its side; the gap keeps the two voices apart. */
const GAP = 0.1;

/** Draws the ring until the function it returns is called: the model's voice above, the user's below. */
export function drawRing(canvas: HTMLCanvasElement, call: Call): () => void {
  const context = canvas.getContext('2d');
  if (!context) return () => {};
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  const bands = { model: new Uint8Array(BARS / 2), you: new Uint8Array(BARS / 2) };
  const heights = { model: new Float32Array(BARS), you: new Float32Array(BARS) };
  let frame = 0;

  const draw = () => {
    const size = fit(canvas);
    const colours = getComputedStyle(canvas);
    context.setTransform(size.scale, 0, 0, size.scale, 0, 0);
    context.clearRect(0, 0, size.width, size.width);
    const live = !still.matches && call.readBands(bands.you, bands.model);
    let moving = live;
    for (const side of ['model', 'you'] as const) {
      moving = settle(heights[side], live ? bands[side] : undefined) || moving;
      context.strokeStyle = colours.getPropertyValue(`--${side}`);
      drawHalf(context, size.width, heights[side], side === 'model' ? Math.PI : 0);
    }
    frame = moving ? requestAnimationFrame(draw) : 0;
  };
  const wake = () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  };
  const stop = effect(() => {
    // Between calls nothing moves, and nothing is drawn.
    void call.speaker.value;
    wake();
  });
  const watcher = new MutationObserver(wake);
  watcher.observe(document.documentElement, { attributeFilter: ['data-theme'] });
  const resized = new ResizeObserver(wake);
  resized.observe(canvas);
  still.addEventListener('change', wake);
  return () => {
    stop();
    cancelAnimationFrame(frame);
    watcher.disconnect();
    resized.disconnect();
    still.removeEventListener('change', wake);
  };
}

/** Gives the canvas as many pixels as the screen has for it. */
function fit(canvas: HTMLCanvasElement): { width: number; scale: number } {
  const width = canvas.clientWidth || 1;
  const scale = devicePixelRatio;
  const pixels = Math.round(width * scale);
  if (canvas.width !== pixels) {
    canvas.width = pixels;
    canvas.height = pixels;
  }
  return { width, scale };
}

/** Lets bars rise fast and fall slowly; false when all have come to rest. */
function settle(heights: Float32Array, bands: Uint8Array | undefined): boolean {
  let moving = false;
  for (let i = 0; i < BARS; i++) {
    // Low tones in the middle, mirrored to both sides.
    const band = Math.abs(i - (BARS - 1) / 2) | 0;
    const wanted = bands ? (bands[band]! / 255) ** 1.5 : 0;
    const now = heights[i]!;
    heights[i] = now + (wanted - now) * (wanted > now ? 0.5 : 0.12);
    if (heights[i]! > 0.004) moving = true;
    else if (!bands) heights[i] = 0;
  }
  return moving;
}

function drawHalf(context: CanvasRenderingContext2D, width: number, heights: Float32Array, from: number): void {
  const middle = width / 2;
  const inner = width * 0.345;
  const most = width * 0.145;
  context.lineCap = 'round';
  context.lineWidth = Math.max(2, width * 0.0105);
  context.beginPath();
  for (let i = 0; i < BARS; i++) {
    const angle = from + GAP + ((Math.PI - 2 * GAP) * i) / (BARS - 1);
    const outer = inner + width * 0.008 + most * heights[i]!;
    context.moveTo(middle + Math.cos(angle) * inner, middle + Math.sin(angle) * inner);
    context.lineTo(middle + Math.cos(angle) * outer, middle + Math.sin(angle) * outer);
  }
  context.stroke();
}
