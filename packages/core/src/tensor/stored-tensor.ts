/** Element types of the safetensors format, under its names. */
export type StoredDType =
  | 'F64'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'I64'
  | 'I32'
  | 'I16'
  | 'I8'
  | 'U64'
  | 'U32'
  | 'U16'
  | 'U8'
  | 'BOOL'
  | 'C64'
  | 'F8_E5M2'
  | 'F8_E4M3'
  | 'F8_E8M0'
  | 'F8_E5M2FNUZ'
  | 'F8_E4M3FNUZ'
  | 'F6_E2M3'
  | 'F6_E3M2'
  | 'F4';

/** A tensor as a file has it, of any element type: row-major, little-endian. */
export interface StoredTensor {
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}
