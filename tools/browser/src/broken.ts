/** A class of the browser. */
interface Breakable {
  readonly prototype: Record<string, (...args: unknown[]) => unknown>;
}

/**
 * Has what fused updates rely on do something else, as another browser or another version might.
 *
 * @param how `draws`: what WebGL is told to draw without vertex buffers stays as it was; `shaders`: WebGPU takes no shader of
 * ours
 */
export function breakBackend(how: 'draws' | 'shaders'): void {
  const classes = globalThis as unknown as Record<string, Breakable>;
  if (how === 'draws') {
    classes['WebGL2RenderingContext'].prototype['drawArrays'] = () => undefined;
  } else {
    classes['GPUDevice'].prototype['createComputePipelineAsync'] = () =>
      Promise.reject(new Error('no pipelines to be waited for'));
  }
}
