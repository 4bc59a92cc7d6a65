import { sameShape, type Program } from '@adakit/core';
import { engine, env, version_core, type KernelBackend, type Tensor, type TensorInfo } from '@tensorflow/tfjs-core';
import type { Cell } from '../cell.js';
import { look } from './contents.js';
import type { Loop, Loops } from '../loops.js';
import { elementwiseSignature, type Signature } from './elementwise.js';
import type { Gl } from './gl.js';
import { checkSource, FINDINGS, updateSource, vectorsOf, vertexSource, type Lanes } from './glsl.js';

/** A tensor's data on the webgl backend. */
interface TextureData {
  readonly texture?: { readonly texture: object } | null;
  readonly values?: ArrayLike<number> | null;
  /** The shape that it has been laid out for. */
  shape: readonly number[];
  /** Whether a texel holds a square of four elements. */
  isPacked: boolean;
  /** Rows and columns of elements that the texture has room for. */
  readonly texShape?: readonly [number, number] | null;
  /** Where it begins in the data of another tensor, whose texture it shares. */
  readonly slice?: { readonly flatOffset: number } | null;
}

/** What the webgl backend of TensorFlow.js has beyond the interface of all backends. */
interface WebglBackend {
  readonly gpgpu: { readonly gl: Gl };
  readonly texData: { get(dataId: object): TextureData };
  makeTensorInfo(shape: readonly number[], dtype: 'float32'): TensorInfo;
  uploadToGPU(dataId: object): void;
  packTensor(input: TensorInfo): TensorInfo;
  packedReshape(input: TensorInfo, shape: readonly number[]): TensorInfo;
}

/**
 * Loops over textures: a rule is one draw for each parameter, which makes all outputs at once. They are new textures, as
 * one that is read cannot be written.
 *
 * @throws Error for a backend that is another inside, or that cannot write float32
 */
export function textureLoops(backend: KernelBackend): Loops {
  if (!version_core.startsWith('4.22.')) {
    throw new Error(`TensorFlow.js ${version_core} may be another inside than 4.22, for which this has been made`);
  }
  const methods = ['makeTensorInfo', 'uploadToGPU', 'packTensor', 'packedReshape'];
  const missing = ['gpgpu', 'texData', ...methods].filter((name) => !(name in backend));
  if (missing.length > 0) throw new Error(`this webgl backend has no ${missing.join(', ')}`);
  if (env().getNumber('WEBGL_VERSION') !== 2) throw new Error('it takes WebGL 2, and here is WebGL 1');
  if (!env().getBool('WEBGL_RENDER_FLOAT32_ENABLED')) throw new Error('textures of float32 cannot be written here');
  return new TextureLoops(backend as unknown as WebglBackend);
}

class TextureLoops implements Loops {
  readonly masks = false;
  readonly #backend: WebglBackend;
  readonly #screen: Screen;
  readonly #check: Pass;
  /** The programs that are loops here, by their hashes. */
  readonly #loops = new Map<string, Loop | undefined>();
  readonly #declined = new Map<string, string>();
  #findings: { readonly texture: object | null; readonly rows: number } | undefined;

  constructor(backend: WebglBackend) {
    this.#backend = backend;
    this.#screen = new Screen(backend.gpgpu.gl);
    this.#check = this.#screen.compile(vertexSource(0), checkSource, ['source'], ['extent', 'part']);
  }

  nonFinite(cells: readonly Cell[]): number[] {
    const { gl } = this.#backend.gpgpu;
    const rows = cells.map((cell) => this.#inspected(cell));
    const drawn = rows.filter((row) => typeof row !== 'boolean');
    const found = new Set<number>();
    if (drawn.length > 0) {
      const findings = this.#findingsFor(drawn.length);
      this.#screen.begin([findings]);
      drawn.forEach(({ data, elements, shape }, row) => {
        const { extent, height, texels } = layout(data, shape);
        const first = data.slice?.flatOffset ?? 0;
        const count = data.isPacked ? texels : elements;
        this.#screen.draw(
          this.#check,
          [data.texture],
          { y: row * FINDINGS, width: FINDINGS, height: FINDINGS },
          (at) => {
            gl.uniform4i(at('extent'), ...extent);
            gl.uniform4i(at('part'), count, first, data.isPacked ? 1 : 0, height);
          },
        );
      });
      const bytes = 4 * FINDINGS * FINDINGS;
      const pixels = new Uint8Array(bytes * drawn.length);
      gl.readPixels(0, 0, FINDINGS, FINDINGS * drawn.length, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
      this.#screen.end();
      drawn.forEach((_, row) => {
        if (pixels.subarray(bytes * row, bytes * (row + 1)).some((byte) => byte > 0)) found.add(row);
      });
    }
    let row = 0;
    return rows.flatMap((entry, i) => ((typeof entry === 'boolean' ? entry : found.has(row++)) ? [i] : []));
  }

  compile(program: Program): Loop | undefined {
    const { hash, name } = program;
    if (!this.#loops.has(hash)) {
      try {
        this.#loops.set(hash, this.#makeLoop(program, elementwiseSignature(program)));
      } catch (error) {
        this.#loops.set(hash, undefined);
        this.#declined.set(name, error instanceof Error ? error.message : String(error));
      }
    }
    return this.#loops.get(hash);
  }

  declined(): Promise<ReadonlyMap<string, string>> {
    return Promise.resolve(this.#declined);
  }

  #makeLoop(program: Program, signature: Signature): Loop {
    const { gl } = this.#backend.gpgpu;
    const { elements, numbers, outputs, scalars } = signature;
    const inputs = [...elements, ...numbers];
    if (inputs.length > Number(gl.getParameter(gl.MAX_TEXTURE_IMAGE_UNITS))) {
      throw new Error(`it reads ${String(inputs.length)} tensors, more than there can be textures`);
    }
    const vectors = vectorsOf(scalars.length);
    // One more tells a pixel its place.
    if (vectors + 1 > Number(gl.getParameter(gl.MAX_VARYING_VECTORS))) {
      throw new Error(`it takes ${String(scalars.length)} numbers, more than shaders can hand over`);
    }
    const vertices = vertexSource(vectors);
    const textures = inputs.map((_, i) => `input${String(i)}`);
    const together = Number(gl.getParameter(gl.MAX_DRAW_BUFFERS));
    const compile = (lanes: Lanes, ragged: boolean): readonly UpdatePass[] =>
      Array.from({ length: Math.ceil(outputs.length / together) }, (_, i) => {
        const written = outputs.slice(together * i, together * (i + 1));
        const source = updateSource(program, signature, written, lanes, ragged);
        return { pass: this.#screen.compile(vertices, source, textures, ['extent', 'numbers']), written };
      });
    const compiled = new Map<string, readonly UpdatePass[]>();
    const passesFor = (shape: readonly number[]): readonly UpdatePass[] => {
      const lanes = shape.length < 2 ? 2 : 4;
      const ragged = shape.length === 0 || shape.slice(-2).some((extent) => extent % 2 === 1);
      const key = `${String(lanes)} ${String(ragged)}`;
      const passes = compiled.get(key) ?? compile(lanes, ragged);
      compiled.set(key, passes);
      return passes;
    };
    // Here, and not in the middle of a step, it shows whether the shaders compile.
    passesFor([1, 1]);
    passesFor([1]);
    const numbersRead = new Float32Array(4 * vectors);

    return (bindings, scalarsOf) => {
      bindings.forEach(({ buffers, shape }, i) => {
        if (shape.includes(0)) return;
        const read = [
          ...elements.map((name) => this.#packed(buffers[name], shape)),
          ...numbers.map((name) => this.#packed(buffers[name], [])),
        ].map(({ texture }) => texture);
        scalars.forEach((index, at) => (numbersRead[at] = scalarsOf[i][index]));
        const made = new Map<string, Tensor>();
        for (const { pass, written } of passesFor(shape)) {
          const targets = written.map((name) => {
            const info = this.#backend.makeTensorInfo(shape, 'float32');
            const data = this.#backend.texData.get(info.dataId);
            data.isPacked = true;
            this.#backend.uploadToGPU(info.dataId);
            made.set(name, engine().makeTensorFromTensorInfo(info));
            return data;
          });
          const { extent, height } = layout(targets[0], shape);
          this.#screen.begin(targets.map(({ texture }) => texture?.texture ?? null));
          this.#screen.draw(pass, read, { y: 0, width: extent[0], height }, (at) => {
            gl.uniform4i(at('extent'), ...extent);
            if (vectors > 0) gl.uniform4fv(at('numbers'), numbersRead);
          });
          this.#screen.end();
        }
        for (const [name, tensor] of made) buffers[name].set(tensor);
      });
    };
  }

  /** A cell's data as squares of four elements, laid out for this shape. */
  #packed(cell: Cell, shape: readonly number[]): TextureData {
    const tensor = cell.glance(shape);
    const { texData } = this.#backend;
    let data = texData.get(tensor.dataId);
    if (!data.texture) {
      // So does the backend itself, where a program wants squares.
      data.isPacked = true;
      data.shape = shape;
      this.#backend.uploadToGPU(tensor.dataId);
      data = texData.get(tensor.dataId);
    } else if (!data.isPacked) {
      data = this.#made(this.#backend.packTensor(info(tensor, shape)));
    }
    if (!sameShape(data.shape, shape)) {
      data = this.#made(this.#backend.packedReshape(info(tensor, data.shape), shape));
    }
    return data;
  }

  /** Has tidy() free what the backend has made in passing. */
  #made(made: TensorInfo): TextureData {
    return this.#backend.texData.get(engine().makeTensorFromTensorInfo(made).dataId);
  }

  /** The texture to look at; or, where the elements are still on the host, whether one of them is not finite. */
  #inspected(cell: Cell) {
    const data = this.#backend.texData.get(look(cell).dataId);
    if (!data.texture && data.values) return !Array.from(data.values).every(Number.isFinite);
    return { data, elements: cell.length, shape: data.shape };
  }

  #findingsFor(rows: number): object | null {
    if (this.#findings === undefined || this.#findings.rows < rows) {
      const { gl } = this.#backend.gpgpu;
      if (this.#findings !== undefined) gl.deleteTexture(this.#findings.texture);
      const texture = gl.createTexture();
      gl.activeTexture(gl.TEXTURE0);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, FINDINGS, FINDINGS * rows);
      gl.bindTexture(gl.TEXTURE_2D, null);
      this.#findings = { texture, rows };
    }
    return this.#findings.texture;
  }
}

function info({ dataId }: Tensor, shape: readonly number[]): TensorInfo {
  return { dataId, shape: [...shape], dtype: 'float32' };
}

/** Where the elements are in a texture: see `extent` of the shaders. */
function layout({ texShape, isPacked }: TextureData, shape: readonly number[]) {
  const [rowsOfTexture, colsOfTexture] = texShape ?? [1, 1];
  const [rows, cols] = [shape.at(-2) ?? 1, shape.at(-1) ?? 1];
  const batch = shape.slice(0, -2).reduce((product, extent) => product * extent, 1);
  const texelsIn = (extent: number): number => (isPacked ? Math.max(1, Math.ceil(extent / 2)) : extent);
  return {
    extent: [texelsIn(colsOfTexture), rows, cols, batch] as const,
    height: texelsIn(rowsOfTexture),
    /** Texels that hold elements. */
    texels: batch * Math.ceil(rows / 2) * Math.ceil(cols / 2),
  };
}

/** A draw that makes some of the outputs of a rule. */
interface UpdatePass {
  readonly pass: Pass;
  readonly written: readonly string[];
}

/** A compiled program, with its uniforms. */
interface Pass {
  readonly program: object;
  readonly textures: number;
  readonly uniforms: ReadonlyMap<string, object | null>;
}

/** Draws into textures. TensorFlow.js sets all that it relies on before it draws itself. */
class Screen {
  readonly #gl: Gl;
  readonly #framebuffer: object | null;
  readonly #noVertices: object | null;
  #attached = 0;

  constructor(gl: Gl) {
    this.#gl = gl;
    this.#framebuffer = gl.createFramebuffer();
    this.#noVertices = gl.createVertexArray();
  }

  /** @throws Error with the compiler's message */
  compile(vertices: string, fragments: string, textures: readonly string[], uniforms: readonly string[]): Pass {
    const gl = this.#gl;
    const program = gl.createProgram();
    const shaders = [this.#shader(gl.VERTEX_SHADER, vertices), this.#shader(gl.FRAGMENT_SHADER, fragments)];
    for (const shader of shaders) gl.attachShader(program, shader);
    gl.linkProgram(program);
    if (program === null || gl.getProgramParameter(program, gl.LINK_STATUS) !== true) {
      const messages = [...shaders.map((shader) => gl.getShaderInfoLog(shader)), gl.getProgramInfoLog(program)];
      throw new Error(`its shader does not compile: ${messages.filter(Boolean).join(' ')}`);
    }
    for (const shader of shaders) gl.deleteShader(shader);
    gl.useProgram(program);
    textures.forEach((name, i) => {
      gl.uniform1i(gl.getUniformLocation(program, name), i);
    });
    return {
      program,
      textures: textures.length,
      uniforms: new Map(uniforms.map((name) => [name, gl.getUniformLocation(program, name)])),
    };
  }

  /** What follows is drawn into these. */
  begin(targets: readonly (object | null)[]): void {
    const gl = this.#gl;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#framebuffer);
    targets.forEach((texture, i) => {
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + i, gl.TEXTURE_2D, texture, 0);
    });
    gl.drawBuffers(targets.map((_, i) => gl.COLOR_ATTACHMENT0 + i));
    this.#attached = targets.length;
    gl.bindVertexArray(this.#noVertices);
  }

  draw(
    { program, textures, uniforms }: Pass,
    read: readonly TextureData['texture'][],
    { y, width, height }: { readonly y: number; readonly width: number; readonly height: number },
    set: (at: (name: string) => object | null) => void,
  ): void {
    const gl = this.#gl;
    gl.useProgram(program);
    for (let i = 0; i < textures; i++) {
      gl.activeTexture(gl.TEXTURE0 + i);
      gl.bindTexture(gl.TEXTURE_2D, read[i]?.texture ?? null);
    }
    set((name) => uniforms.get(name) ?? null);
    gl.viewport(0, y, width, height);
    gl.scissor(0, y, width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** Lets go of the targets, which may be freed or read from now on. */
  end(): void {
    const gl = this.#gl;
    for (let i = 0; i < this.#attached; i++) {
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + i, gl.TEXTURE_2D, null, 0);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  #shader(type: number, source: string): object | null {
    const shader = this.#gl.createShader(type);
    this.#gl.shaderSource(shader, source);
    this.#gl.compileShader(shader);
    return shader;
  }
}
