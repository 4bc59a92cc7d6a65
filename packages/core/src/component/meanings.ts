// The words for what slots hold, as `meanings` of the package. Authors add their own for quantities that are not here.

/** Moving average of the gradient. */
export const meanOfGradient = 'mean(grad)';
/** Moving average of the squared gradient. */
export const meanOfSquare = 'mean(grad^2)';
/** Moving average of the squared deviation from the average. */
export const meanOfDeviation = 'mean((grad - mean(grad))^2)';
/** The largest that such an average has been. */
export const largestMeanOfSquare = 'max(mean(grad^2))';
/** The largest that the average of the squared deviation has been. */
export const largestMeanOfDeviation = 'max(mean((grad - mean(grad))^2))';
/** The gradient before. */
export const previousGradient = 'previous(grad)';
/** Sum of gradients, decaying, without bias correction. */
export const sumOfGradients = 'sum(grad)';
/** Sum of squared gradients. */
export const sumOfSquares = 'sum(grad^2)';
/** An average of the weights. */
export const averageOfWeights = 'mean(param)';
/** Sum of the gradients of batches whose step is not complete. */
export const collectedGradients = 'collected(grad)';
