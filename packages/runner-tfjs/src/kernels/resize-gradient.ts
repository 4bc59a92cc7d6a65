import {
  engine,
  eye,
  image,
  matMul,
  ones,
  reshape,
  ResizeBilinearGrad,
  ResizeNearestNeighborGrad,
  tidy,
  zeros,
  type NamedTensorMap,
  type ResizeBilinearGradAttrs,
  type Rank,
  type Tensor,
  type Tensor3D,
} from '@tensorflow/tfjs-core';
import type { WasmKernel } from './wasm-kernel.js';

/**
 * The gradient of resizing images [n, h, w, c] bilinearly. The backend's own (4.22) takes half-pixel centers for corners.
 */
export const resizeBilinearGradient = resizeGradient(ResizeBilinearGrad, image.resizeBilinear);

/** The gradient of resizing images to the nearest pixel; the backend's own fails as the bilinear one's. */
export const resizeNearestGradient = resizeGradient(ResizeNearestNeighborGrad, image.resizeNearestNeighbor);

/**
 * Resizing is linear and acts on rows and columns apart: Y = R_h · X · R_wᵀ, so ∂X = R_hᵀ · ∂Y · R_w. A matrix R is what
 * resizing makes of the identity.
 */
function resizeGradient(
  name: string,
  resize: typeof image.resizeBilinear,
): WasmKernel<ResizeBilinearGradAttrs, NamedTensorMap> {
  return {
    name,
    compute: (inputs, attributes, original) => {
      const { alignCorners, halfPixelCenters } = attributes;
      if (original !== undefined && !halfPixelCenters) return original(inputs, { ...attributes });
      const [batch, height, width, channels] = inputs.images.shape;
      const [, outHeight, outWidth] = inputs.dy.shape;
      // [1, to, from], for products with every image of a batch.
      const matrix = (from: number, to: number): Tensor3D => {
        const identity = reshape<Rank.R4>(eye(from), [1, from, from, 1]);
        return reshape(resize(identity, [to, from], alignCorners, halfPixelCenters), [1, to, from]);
      };
      return tidy(() => {
        const dy = reshape(inputs.dy, [batch, outHeight, outWidth * channels]);
        const rows = matMul(matrix(height, outHeight), dy, true);
        const columns = reshape(rows, [batch * height, outWidth, channels]);
        return reshape(matMul(matrix(width, outWidth), columns, true), [batch, height, width, channels]);
      });
    },
    isRight: () => {
      // One pixel of three is the one in the middle; taken for a corner, it is the first.
      const inputs = { images: zeros([1, 1, 3, 1]), dy: ones([1, 1, 1, 1]) };
      const attributes = { alignCorners: false, halfPixelCenters: true, size: [1, 1] };
      const gradient: Tensor = engine().runKernel(name, inputs, attributes);
      return gradient.dataSync()[1] === 1;
    },
  };
}
