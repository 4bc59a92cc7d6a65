// Runs in a worker of the browser.
import { serveDataset, type PortOfBrowser } from '@adakit/data';
import { numbers } from './numbers.js';

// Types here are Node's.
declare const self: PortOfBrowser;

serveDataset(numbers, self);
