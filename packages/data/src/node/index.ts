// @tier user
export { csvFile, jsonLinesFile, parquetFile, readIdx, readTensors } from './files.js';
export { cifar, pennTreebank, type CifarData, type TextData } from './published.js';
export { images, type ImagesOptions } from './images.js';
