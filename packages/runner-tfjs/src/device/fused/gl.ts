/** What the loops over textures use of WebGL 2. */
export interface Gl {
  readonly MAX_DRAW_BUFFERS: number;
  readonly MAX_TEXTURE_IMAGE_UNITS: number;
  readonly MAX_VARYING_VECTORS: number;
  readonly VERTEX_SHADER: number;
  readonly FRAGMENT_SHADER: number;
  readonly LINK_STATUS: number;
  readonly FRAMEBUFFER: number;
  readonly FRAMEBUFFER_COMPLETE: number;
  readonly COLOR_ATTACHMENT0: number;
  readonly TEXTURE_2D: number;
  readonly TEXTURE0: number;
  readonly RGBA8: number;
  readonly RGBA: number;
  readonly UNSIGNED_BYTE: number;
  readonly TRIANGLES: number;
  getParameter(name: number): unknown;
  createShader(type: number): object | null;
  shaderSource(shader: object | null, source: string): void;
  compileShader(shader: object | null): void;
  getShaderInfoLog(shader: object | null): string | null;
  deleteShader(shader: object | null): void;
  createProgram(): object | null;
  attachShader(program: object | null, shader: object | null): void;
  linkProgram(program: object | null): void;
  getProgramParameter(program: object | null, name: number): unknown;
  getProgramInfoLog(program: object | null): string | null;
  useProgram(program: object | null): void;
  getUniformLocation(program: object | null, name: string): object | null;
  uniform1i(location: object | null, value: number): void;
  uniform4i(location: object | null, x: number, y: number, z: number, w: number): void;
  uniform4fv(location: object | null, values: Float32Array): void;
  createFramebuffer(): object | null;
  bindFramebuffer(target: number, framebuffer: object | null): void;
  framebufferTexture2D(target: number, attachment: number, kind: number, texture: object | null, level: number): void;
  checkFramebufferStatus(target: number): number;
  drawBuffers(buffers: readonly number[]): void;
  createVertexArray(): object | null;
  bindVertexArray(array: object | null): void;
  createTexture(): object | null;
  deleteTexture(texture: object | null): void;
  activeTexture(unit: number): void;
  bindTexture(target: number, texture: object | null): void;
  texStorage2D(target: number, levels: number, format: number, width: number, height: number): void;
  viewport(x: number, y: number, width: number, height: number): void;
  scissor(x: number, y: number, width: number, height: number): void;
  drawArrays(mode: number, first: number, count: number): void;
  readPixels(
    x: number,
    y: number,
    width: number,
    height: number,
    format: number,
    type: number,
    pixels: Uint8Array,
  ): void;
}
