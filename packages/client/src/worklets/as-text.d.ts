/** A whole worklet as JavaScript; worklets.build.ts makes it. */
declare module '*?worklet' {
  const source: string;
  export default source;
}
