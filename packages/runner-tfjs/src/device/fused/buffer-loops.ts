import type { Program } from '@adakit/core';
import {
  engine,
  env,
  scalar,
  tensor1d,
  version_core,
  type KernelBackend,
  type Tensor,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import type { Cell } from '../cell.js';
import { look, ownedBy, variableOf } from './contents.js';
import type { DeviceCheck, Loop, Loops } from '../loops.js';
import { elementwiseSignature, type Signature } from './elementwise.js';
import { checkSource, UNIFORM_HEAD, updateBuffers, updateSource, WORKGROUP, type Width } from './wgsl.js';

/** A tensor's data on the webgpu backend. */
interface BufferData {
  resource?: GPUBuffer | null;
  readonly external?: boolean;
}

/** What the webgpu backend of TensorFlow.js has beyond the interface of all backends. */
interface WebgpuBackend {
  readonly device: GPUDevice;
  readonly tensorMap: { get(dataId: object): BufferData };
  readonly bufferManager: { acquireBuffer(size: number, usage: number): GPUBuffer };
  /** What is reused once the commands have been submitted. */
  readonly uniformPendingDisposal: GPUBuffer[];
  /** Data that commands not yet submitted use. */
  readonly commandQueueOwnedIds: WeakSet<object>;
  readonly commandEncoder: GPUCommandEncoder | null;
  computePassEncoder: GPUComputePassEncoder | null;
  dispatchCountInPass: number;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  uploadToGPU(dataId: object): void;
  makeTensorInfo(shape: readonly number[], dtype: 'float32'): TensorInfo;
  refCount(dataId: object): number;
}

/**
 * Loops over buffers: a rule is one dispatch for each parameter, which updates it in place. They are recorded among the
 * commands of the backend, whose order is so kept.
 *
 * @throws Error for a backend that is another inside
 */
export function bufferLoops(backend: KernelBackend): Loops {
  if (!version_core.startsWith('4.22.')) {
    throw new Error(`TensorFlow.js ${version_core} may be another inside than 4.22, for which this has been made`);
  }
  const members = [
    ...['device', 'tensorMap', 'bufferManager', 'uniformPendingDisposal', 'commandQueueOwnedIds', 'commandEncoder'],
    ...['computePassEncoder', 'dispatchCountInPass', 'ensureCommandEncoderReady', 'endComputePassEncoder'],
    ...['submitQueue', 'uploadToGPU', 'makeTensorInfo', 'refCount'],
  ];
  const missing = members.filter((name) => !(name in backend));
  if (missing.length > 0) throw new Error(`this webgpu backend has no ${missing.join(', ')}`);
  return new BufferLoops(backend as unknown as WebgpuBackend);
}

/** A kernel in both widths. */
type Pipelines = Readonly<Record<Width, GPUComputePipeline>>;

/** A dispatch to be recorded. */
interface Dispatch {
  readonly pipelines: Pipelines;
  /** Elements. */
  readonly length: number;
  /** What follows the number of vectors among the uniforms. */
  readonly uniforms: (view: DataView) => void;
  readonly buffers: readonly GPUBuffer[];
}

class BufferLoops implements Loops {
  readonly masks = true;
  readonly #backend: WebgpuBackend;
  /** Who alone looks at the memory of slots that have been updated in place. */
  readonly #owner = {};
  /** The programs that are loops here, by their hashes; `undefined` while they are being compiled, and if they are none. */
  readonly #loops = new Map<string, Loop | undefined>();
  readonly #declined = new Map<string, string>();
  readonly #compiling = new Set<Promise<void>>();
  #check: Pipelines | undefined;

  constructor(backend: WebgpuBackend) {
    this.#backend = backend;
    this.#await('the check', async () => {
      const kinds: GPUBufferBindingType[] = ['read-only-storage', 'storage', 'storage'];
      this.#check = await this.#compile(checkSource, kinds);
    });
  }

  nonFinite(cells: readonly Cell[]): DeviceCheck {
    const each = tensor1d(new Uint8Array(cells.length).fill(1), 'bool');
    const whole = scalar(true, 'bool');
    const pipelines = this.#check;
    // Nothing asks before the trial, which waits for it.
    if (pipelines === undefined) throw new Error('the check of the webgpu loops has not been compiled');
    const [eachBuffer, wholeBuffer] = [this.#read(each), this.#read(whole)];
    this.#record(
      cells.map((cell, position) => ({
        pipelines,
        length: cell.length,
        uniforms: (view) => {
          view.setUint32(4, position, true);
        },
        buffers: [this.#read(look(cell)), eachBuffer, wholeBuffer],
      })),
    );
    return { each, whole };
  }

  compile(program: Program): Loop | undefined {
    const { hash, name } = program;
    if (!this.#loops.has(hash)) {
      this.#loops.set(hash, undefined);
      this.#await(name, async () => {
        this.#loops.set(hash, await this.#makeLoop(program, elementwiseSignature(program)));
      });
    }
    return this.#loops.get(hash);
  }

  async declined(): Promise<ReadonlyMap<string, string>> {
    await Promise.all(this.#compiling);
    return this.#declined;
  }

  #await(name: string, compile: () => Promise<void>): void {
    const compiling = compile()
      .catch((error: unknown) => {
        this.#declined.set(name, error instanceof Error ? error.message : String(error));
      })
      .finally(() => this.#compiling.delete(compiling));
    this.#compiling.add(compiling);
  }

  async #compile(source: (width: Width) => string, kinds: readonly GPUBufferBindingType[]): Promise<Pipelines> {
    const { device } = this.#backend;
    const buffers = [
      { binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform' as const } },
      ...kinds.map((type, i) => ({ binding: i + 1, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
    ];
    const most = device.limits.maxStorageBuffersPerShaderStage;
    if (kinds.length > most) {
      throw new Error(`it needs ${String(kinds.length)} storage buffers, and a shader has ${String(most)}`);
    }
    const layout = device.createPipelineLayout({
      bindGroupLayouts: [device.createBindGroupLayout({ entries: buffers })],
    });
    const pipeline = (width: Width): Promise<GPUComputePipeline> =>
      device.createComputePipelineAsync({
        layout,
        compute: { module: device.createShaderModule({ code: source(width) }), entryPoint: 'main' },
      });
    const [four, one] = await Promise.all([pipeline(4), pipeline(1)]);
    return { 4: four, 1: one };
  }

  async #makeLoop(program: Program, signature: Signature): Promise<Loop> {
    const { scalars, outputs } = signature;
    const used = updateBuffers(signature);
    const kinds = used.map(({ access }) => (access === 'read_write' ? 'storage' : 'read-only-storage'));
    const pipelines = await this.#compile(
      (width) => updateSource(program, signature, width),
      ['read-only-storage', ...kinds],
    );

    return (bindings, scalarsOf, mask) => {
      const maskBuffer = this.#read(mask ?? scalar(true, 'bool'));
      const written: [Cell, Tensor][] = [];
      const dispatches: Dispatch[] = [];
      try {
        bindings.forEach(({ buffers, shape }, i) => {
          if (shape.includes(0)) return;
          const inputs = new Map(
            used.filter(({ access }) => access !== 'read_write').map(({ name }) => [name, look(buffers[name])]),
          );
          const read = new Set([...inputs.values()].map(({ dataId }) => dataId));
          const found = new Map([...inputs].map(([name, tensor]) => [name, this.#read(tensor)]));
          for (const name of outputs) {
            const target = this.#writable(buffers[name], shape, read);
            written.push([buffers[name], target]);
            found.set(name, this.#read(target));
          }
          dispatches.push({
            pipelines,
            length: buffers[outputs[0]].length,
            uniforms: (view) => {
              view.setUint32(4, 0x7fc00000, true);
              scalars.forEach((index, at) => {
                view.setFloat32(UNIFORM_HEAD + 4 * at, scalarsOf[i][index], true);
              });
            },
            buffers: [maskBuffer, ...used.flatMap(({ name }) => found.get(name) ?? [])],
          });
        });
        this.#record(dispatches, UNIFORM_HEAD + 16 * Math.max(1, Math.ceil(scalars.length / 4)));
      } finally {
        // In any case: what has been taken over has to go somewhere.
        for (const [cell, tensor] of written) cell.set(tensor, this.#owner);
      }
    };
  }

  /** The buffer of a tensor, which commands that have not been submitted yet use from now on. */
  #read({ dataId }: Tensor): GPUBuffer {
    const { tensorMap, commandQueueOwnedIds } = this.#backend;
    this.#backend.uploadToGPU(dataId);
    commandQueueOwnedIds.add(dataId);
    const { resource } = tensorMap.get(dataId);
    if (!(resource instanceof GPUBuffer)) throw new Error('the webgpu backend keeps a tensor in no buffer');
    return resource;
  }

  /**
   * A new tensor in place of a cell's, with its elements: over the same memory where nobody else looks at it, otherwise a
   * copy. The backend keeps what has been read by the identity of data: data that changes must not stay the same.
   *
   * @param read data that the same dispatch reads
   */
  #writable(cell: Cell, shape: readonly number[], read: ReadonlySet<object>): Tensor {
    const { tensorMap, commandQueueOwnedIds } = this.#backend;
    const source = look(cell);
    const old = this.#read(source);
    const info = this.#backend.makeTensorInfo(shape, 'float32');
    const made = engine().makeTensorFromTensorInfo(info);
    const alone = (variableOf(cell) ?? ownedBy(this.#owner, cell)) !== undefined;
    const from = tensorMap.get(source.dataId);
    if (alone && from.external !== true && this.#backend.refCount(source.dataId) === 1 && !read.has(source.dataId)) {
      tensorMap.get(info.dataId).resource = old;
      from.resource = null;
      commandQueueOwnedIds.add(info.dataId);
      return made;
    }
    const copy = this.#read(made);
    this.#backend.ensureCommandEncoderReady();
    this.#backend.endComputePassEncoder();
    this.#backend.commandEncoder?.copyBufferToBuffer(old, 0, copy, 0, 4 * cell.length);
    return made;
  }

  /** Records dispatches in one pass. @param bytes how many there are of uniforms for each */
  #record(dispatches: readonly Dispatch[], bytes = UNIFORM_HEAD): void {
    if (dispatches.length === 0) return;
    const backend = this.#backend;
    const { device } = backend;
    const most = device.limits.maxComputeWorkgroupsPerDimension;
    const alignment = device.limits.minUniformBufferOffsetAlignment;
    const stride = Math.ceil(bytes / alignment) * alignment;
    const uniforms = new ArrayBuffer(stride * dispatches.length);
    // Not one for all steps: those before may not have been submitted yet.
    const uniformBuffer = backend.bufferManager.acquireBuffer(
      uniforms.byteLength,
      GPUBufferUsage.COPY_DST | GPUBufferUsage.UNIFORM,
    );
    backend.uniformPendingDisposal.push(uniformBuffer);
    backend.ensureCommandEncoderReady();
    backend.computePassEncoder ??= backend.commandEncoder?.beginComputePass() ?? null;
    const pass = backend.computePassEncoder;
    if (pass === null) throw new Error('the webgpu backend takes no commands');
    dispatches.forEach(({ pipelines, length, uniforms: fill, buffers }, i) => {
      const width = length % 4 === 0 ? 4 : 1;
      const view = new DataView(uniforms, stride * i, bytes);
      view.setUint32(0, length / width, true);
      fill(view);
      const bindGroup = device.createBindGroup({
        layout: pipelines[width].getBindGroupLayout(0),
        entries: [
          { binding: 0, resource: { buffer: uniformBuffer, offset: stride * i, size: bytes } },
          ...buffers.map((buffer, k) => ({ binding: k + 1, resource: { buffer } })),
        ],
      });
      const workgroups = Math.ceil(length / width / WORKGROUP);
      const across = Math.min(workgroups, most);
      pass.setPipeline(pipelines[width]);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(across, Math.ceil(workgroups / across));
    });
    device.queue.writeBuffer(uniformBuffer, 0, uniforms);
    backend.dispatchCountInPass += dispatches.length;
    if (backend.dispatchCountInPass < env().getNumber('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE')) return;
    backend.endComputePassEncoder();
    backend.submitQueue();
  }
}
