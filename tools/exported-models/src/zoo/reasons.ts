/** What exporters say when they fail, and what it means; `$1` is what the expression has in parentheses. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [/Exporting the operator '(\S+)' to ONNX opset version (\d+)/, 'the exporter has no `$1` at opset $2'],
  [/No ONNX function found for <OpOverload\(op='([\w.]+)'[^]*complex/, 'the exporter has no `$1` of complex numbers'],
  [/Could not guard on data-dependent/, 'its code goes by what a tensor holds, which torch.export does not follow'],
  [
    /Expected node type 'onnx::Constant' for argument '(\w+)' of node '(\w+)'/,
    'the exporter takes no computed `$1` of `$2`',
  ],
  [/We don't have an op for (aten::\w+) but/, 'the exporter has no `$1` for these arguments'],
  [/ONNX does not support include_self=False/, 'ONNX has no scatter that reduces without what was there'],
];

const REPEATED = 'of `repeat_interleave` along a negative axis the exporter makes a tensor of another rank';
const OVERWRITTEN =
  '`repeat_interleave` along a negative axis overwrites the −1 of other nodes that share its constant in the exporter';
const BIAS = 'the exporter gives a `conv3d` without bias zeros of shape [channels, 2]';
const UNFOLDED = 'the exporter loses a transposition of what `unfold` gives';
const POSITIONS = 'the exporter writes the positions to look up as floats';

/** What has been found out about single models, by architecture and exporter. */
const FOUND: ReadonlyMap<string, string> = new Map([
  ['timm/vit_small_patch16_rope_mixed_224 TorchScript', OVERWRITTEN],
  ['torchvision/mc3_18 dynamo', BIAS],
  ['torchvision/mvit dynamo', BIAS],
  ['torchvision/s3d dynamo', BIAS],
  ['transformers/cohere2_moe TorchScript', OVERWRITTEN],
  ['transformers/data2vec-vision dynamo', 'its `view` needs another layout than attention gives under torch.export'],
  ['transformers/deepseek_v4 TorchScript', REPEATED],
  ['transformers/ernie4_5 TorchScript', OVERWRITTEN],
  ['transformers/glm4 TorchScript', REPEATED],
  ['transformers/glm4v_text TorchScript', REPEATED],
  ['transformers/helium TorchScript', OVERWRITTEN],
  ['transformers/idefics3_vision TorchScript', POSITIONS],
  ['transformers/jetmoe TorchScript', '`index_add` of the exporter loses all but one of the rows that go to one place'],
  ['transformers/led TorchScript', 'as exported, the windowed attention of the encoder scores other keys'],
  ['transformers/nystromformer TorchScript', 'under export it adds a mask that its landmarks do not fit'],
  ['transformers/nystromformer dynamo', 'under export it adds a mask that its landmarks do not fit'],
  ['transformers/patchtsmixer TorchScript', UNFOLDED],
  ['transformers/patchtst TorchScript', UNFOLDED],
  ['transformers/smolvlm_vision TorchScript', POSITIONS],
  ['transformers/superpoint TorchScript', 'it pools one image without a batch, which MaxPool does not take'],
]);

/**
 * Why a model was not exported, or not as PyTorch computes it, in one sentence; undefined where nobody has looked.
 *
 * @param message of the exporter, or of ONNX Runtime about the file
 */
export function reasonFor({ architecture, exporter }: { architecture: string; exporter: string }, message: string) {
  const found = FOUND.get(`${architecture} ${exporter}`);
  if (found !== undefined) return found;
  for (const [said, meaning] of KINDS) {
    const match = said.exec(message);
    if (match !== null) return meaning.replace(/\$(\d)/g, (_, group: string) => match[Number(group)]);
  }
  return undefined;
}
