/**
 * What standard operators take at opsets 18 to 26: the most inputs, * for any number, and the names of their attributes.
 * Written by tools/fixtures/python/operator_schemas.py from the schemas of ONNX.
 */
export const SCHEMAS = `
Abs 1
Acos 1
Acosh 1
Add 2
AffineGrid 2 align_corners
And 2
ArgMax 1 axis keepdims select_last_index
ArgMin 1 axis keepdims select_last_index
Asin 1
Asinh 1
Atan 1
Atanh 1
Attention 7 is_causal kv_num_heads left_window_size q_num_heads qk_matmul_output_mode right_window_size scale softcap softmax_precision
AveragePool 1 auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides
BatchNormalization 5 epsilon momentum training_mode
Bernoulli 1 dtype seed
BitCast 1 to
BitShift 2 direction
BitwiseAnd 2
BitwiseNot 1
BitwiseOr 2
BitwiseXor 2
BlackmanWindow 1 output_datatype periodic
Cast 1 round_mode saturate to
CastLike 2 round_mode saturate
Ceil 1
Celu 1 alpha
CenterCropPad 2 axes
Clip 3
Col2Im 3 dilations pads strides
Compress 2 axis
Concat * axis
ConcatFromSequence 1 axis new_axis
Constant 0 sparse_value value value_float value_floats value_int value_ints value_string value_strings
ConstantOfShape 1 value
Conv 3 auto_pad dilations group kernel_shape pads strides
ConvInteger 4 auto_pad dilations group kernel_shape pads strides
ConvTranspose 3 auto_pad dilations group kernel_shape output_padding output_shape pads strides
Cos 1
Cosh 1
CumProd 2 exclusive reverse
CumSum 2 exclusive reverse
DFT 3 axis inverse onesided
DeformConv 5 dilations group kernel_shape offset_group pads strides
DepthToSpace 1 blocksize mode
DequantizeLinear 3 axis block_size output_dtype
Det 1
Div 2
Dropout 3 seed
DynamicQuantizeLinear 1
Einsum * equation
Elu 1 alpha
Equal 2
Erf 1
Exp 1
Expand 2
EyeLike 1 dtype k
Flatten 1 axis
Floor 1
GRU 6 activation_alpha activation_beta activations clip direction hidden_size layout linear_before_reset
Gather 2 axis
GatherElements 2 axis
GatherND 2 batch_dims
Gelu 1 approximate
Gemm 3 alpha beta transA transB
GlobalAveragePool 1
GlobalLpPool 1 p
GlobalMaxPool 1
Greater 2
GreaterOrEqual 2
GridSample 2 align_corners mode padding_mode
GroupNormalization 3 epsilon num_groups stash_type
HammingWindow 1 output_datatype periodic
HannWindow 1 output_datatype periodic
HardSigmoid 1 alpha beta
HardSwish 1
Hardmax 1 axis
Identity 1
If 1 else_branch then_branch
ImageDecoder 1 pixel_format
InstanceNormalization 3 epsilon
IsInf 1 detect_negative detect_positive
IsNaN 1
LRN 1 alpha beta bias size
LSTM 8 activation_alpha activation_beta activations clip direction hidden_size input_forget layout
LayerNormalization 3 axis epsilon stash_type
LeakyRelu 1 alpha
Less 2
LessOrEqual 2
Log 1
LogSoftmax 1 axis
Loop * body
LpNormalization 1 axis p
LpPool 1 auto_pad ceil_mode dilations kernel_shape p pads strides
MatMul 2
MatMulInteger 4
Max *
MaxPool 1 auto_pad ceil_mode dilations kernel_shape pads storage_order strides
MaxRoiPool 2 pooled_shape spatial_scale
MaxUnpool 3 kernel_shape pads strides
Mean *
MeanVarianceNormalization 1 axes
MelWeightMatrix 5 output_datatype
Min *
Mish 1
Mod 2 fmod
Mul 2
Multinomial 1 dtype sample_size seed
Neg 1
NegativeLogLikelihoodLoss 3 ignore_index reduction
NonMaxSuppression 5 center_point_box
NonZero 1
Not 1
OneHot 3 axis
Optional 1 type
OptionalGetElement 1
OptionalHasElement 1
Or 2
PRelu 2
Pad 4 mode
Pow 2
QLinearConv 9 auto_pad dilations group kernel_shape pads strides
QLinearMatMul 8
QuantizeLinear 3 axis block_size output_dtype precision saturate
RMSNormalization 2 axis epsilon stash_type
RNN 6 activation_alpha activation_beta activations clip direction hidden_size layout
RandomNormal 0 dtype mean scale seed shape
RandomNormalLike 1 dtype mean scale seed
RandomUniform 0 dtype high low seed shape
RandomUniformLike 1 dtype high low seed
Range 3
Reciprocal 1
ReduceL1 2 keepdims noop_with_empty_axes
ReduceL2 2 keepdims noop_with_empty_axes
ReduceLogSum 2 keepdims noop_with_empty_axes
ReduceLogSumExp 2 keepdims noop_with_empty_axes
ReduceMax 2 keepdims noop_with_empty_axes
ReduceMean 2 keepdims noop_with_empty_axes
ReduceMin 2 keepdims noop_with_empty_axes
ReduceProd 2 keepdims noop_with_empty_axes
ReduceSum 2 keepdims noop_with_empty_axes
ReduceSumSquare 2 keepdims noop_with_empty_axes
RegexFullMatch 1 pattern
Relu 1
Reshape 2 allowzero
Resize 4 antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value keep_aspect_ratio_policy mode nearest_mode
ReverseSequence 2 batch_axis time_axis
RoiAlign 3 coordinate_transformation_mode mode output_height output_width sampling_ratio spatial_scale
RotaryEmbedding 4 interleaved num_heads rotary_embedding_dim
Round 1
STFT 4 onesided
Scan * body num_scan_inputs scan_input_axes scan_input_directions scan_output_axes scan_output_directions
Scatter 3 axis
ScatterElements 3 axis reduction
ScatterND 3 reduction
Selu 1 alpha gamma
SequenceAt 2
SequenceConstruct *
SequenceEmpty 0 dtype
SequenceErase 2
SequenceInsert 3
SequenceLength 1
SequenceMap * body
Shape 1 end start
Shrink 1 bias lambd
Sigmoid 1
Sign 1
Sin 1
Sinh 1
Size 1
Slice 5
Softmax 1 axis
SoftmaxCrossEntropyLoss 3 ignore_index reduction
Softplus 1
Softsign 1
SpaceToDepth 1 blocksize
Split 2 axis num_outputs
SplitToSequence 2 axis keepdims
Sqrt 1
Squeeze 2
StringConcat 2
StringNormalizer 1 case_change_action is_case_sensitive locale stopwords
StringSplit 1 delimiter maxsplit
Sub 2
Sum *
Swish 1 alpha
Tan 1
Tanh 1
TensorScatter 3 axis mode
TfIdfVectorizer 1 max_gram_length max_skip_count min_gram_length mode ngram_counts ngram_indexes pool_int64s pool_strings weights
ThresholdedRelu 1 alpha
Tile 2
TopK 2 axis largest sorted
Transpose 1 perm
Trilu 2 upper
Unique 1 axis sorted
Unsqueeze 2
Upsample 2 mode
Where 3
Xor 2
`;
