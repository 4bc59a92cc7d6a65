// @tier user
export { csvFile, jsonLinesFile, parquetFile, readIdx, readTensors } from './files.js';
export { images, type ImagesOptions } from './images.js';
