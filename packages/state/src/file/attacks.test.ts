import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { OptimizerConfig } from '@adakit/core';
import { StateFileError, type StateFileErrorCode } from './error.js';
import { decodeState, decodeTensors } from './state-file.js';

// A state file as text and data, written down here so that a test can say exactly what is wrong with it.

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const f32 = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

const optimizer: Extract<OptimizerConfig, { kind: 'rule' | 'wrapper' }> = {
  kind: 'rule',
  name: 'adam',
  hyperparameters: { lr: 0.001 },
  initial: { lr: 0.001 },
  schedules: {},
};
const rule = { programHash: '0'.repeat(32), slots: { m: { of: 'mean(grad)', decay: 'beta1' } } };
const document = { formatVersion: 2, optimizer, step: 3, rules: [rule], parameters: {}, origin: { backend: 'js' } };
const version1 = {
  formatVersion: 1,
  optimizer: {
    name: 'adam',
    hyperparameters: { lr: 0.001 },
    initial: { lr: 0.001 },
    groups: [],
    schedules: {},
    programHash: '0'.repeat(32),
  },
  step: 3,
  parameterSteps: {},
  origin: { backend: 'js' },
};
const grouped = (match: unknown) => ({
  ...document,
  optimizer: { kind: 'groups', groups: [{ name: 'a', match, hyperparameters: {}, schedules: {} }], rest: optimizer },
});
const zeros = '0'.repeat(64);
const tensors =
  '"param/w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"slot/m/w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}';

interface Forgery {
  readonly document?: unknown;
  /** Text of the document, where JSON.stringify cannot say it. */
  readonly documentText?: string;
  /** Members of the header after `__metadata__`. */
  readonly tensors?: string;
  readonly data?: Uint8Array;
  readonly checksums?: unknown;
  /** Changes the header's text before it is sealed. */
  readonly header?: (text: string) => string;
  /** Changes the finished file. */
  readonly file?: (bytes: Uint8Array) => Uint8Array;
}

function forge(forgery: Forgery): Uint8Array {
  const data = forgery.data ?? f32(1, 2, 3, 4);
  const text = forgery.documentText ?? JSON.stringify(forgery.document ?? document);
  const checksums = forgery.checksums ?? {
    'param/w': sha256(data.subarray(0, 8)),
    'slot/m/w': sha256(data.subarray(8)),
  };
  const metadata = `{"adakit.sha256":"${zeros}","adakit":${JSON.stringify(text)},"adakit.tensor_sha256":${JSON.stringify(JSON.stringify(checksums))}}`;
  const members = [`"__metadata__":${metadata}`, forgery.tensors ?? tensors].filter((member) => member !== '');
  const header = utf8((forgery.header ?? ((x) => x))(`{${members.join()}}`));
  const digits = sha256(header);
  const start = utf8('{"__metadata__":{"adakit.sha256":"').length;
  if (new TextDecoder().decode(header).startsWith(zeros, start)) header.set(utf8(digits), start);
  const bytes = new Uint8Array(8 + header.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  bytes.set(data, 8 + header.length);
  return (forgery.file ?? ((x) => x))(bytes);
}

const entry = (dtype: string, shape: string, offsets: string): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
const two = (param: string, slot: string): string => `"param/w":${param},"slot/m/w":${slot}`;
const good = entry('F32', '[2]', '[0,8]');
const good2 = entry('F32', '[2]', '[8,16]');
const set =
  (offset: number, ...values: number[]) =>
  (bytes: Uint8Array): Uint8Array => {
    bytes.set(values, offset < 0 ? bytes.length + offset : offset);
    return bytes;
  };

const attacks: readonly (readonly [name: string, code: StateFileErrorCode, forgery: Forgery])[] = [
  // Length field and header as a whole.
  ['an empty file', 'truncated-length', { file: () => new Uint8Array() }],
  ['seven bytes', 'truncated-length', { file: (bytes) => bytes.subarray(0, 7) }],
  ['a length field alone', 'truncated-header', { file: (bytes) => bytes.subarray(0, 8) }],
  ['a header cut short', 'truncated-header', { file: (bytes) => bytes.subarray(0, 100) }],
  ['a header of 100 MB and one byte', 'header-too-large', { file: set(0, 0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0) }],
  ['a header of 100 MB that is not there', 'truncated-header', { file: set(0, 0x00, 0xe1, 0xf5, 0x05, 0, 0, 0, 0) }],
  ['a header of 2^63 bytes', 'header-too-large', { file: set(0, 0, 0, 0, 0, 0, 0, 0, 0x80) }],
  ['a header of 2^64 - 1 bytes', 'header-too-large', { file: set(0, 255, 255, 255, 255, 255, 255, 255, 255) }],
  ['an empty header', 'not-an-object', { file: () => new Uint8Array(8) }],
  ['a PNG', 'header-too-large', { file: set(0, 0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a) }],
  // Text.
  ['a stray byte that is not UTF-8', 'invalid-utf8', { file: set(20, 0xff) }],
  ['an overlong encoding', 'invalid-utf8', { file: set(20, 0xc0, 0xaf) }],
  ['half a surrogate pair in UTF-8', 'invalid-utf8', { file: set(20, 0xed, 0xa0, 0x80) }],
  ['a byte order mark', 'not-an-object', { header: (text) => `\ufeff${text}` }],
  ['white space before the header', 'not-an-object', { header: (text) => ` ${text}` }],
  ['an array', 'not-an-object', { header: () => '[]' }],
  ['a string', 'not-an-object', { header: () => '"{}"' }],
  ['null', 'not-an-object', { header: () => 'null' }],
  ['an object that does not end', 'invalid-json', { header: (text) => text.slice(0, -1) }],
  ['something after the object', 'invalid-json', { header: (text) => `${text}{}` }],
  ['a zero byte for padding', 'invalid-json', { header: (text) => `${text}\0` }],
  ['single quotes', 'invalid-json', { header: (text) => text.replaceAll('"', "'") }],
  ['a comma too many', 'invalid-json', { tensors: `${tensors},` }],
  [
    'a million open brackets',
    'invalid-shape',
    { tensors: `"param/w":${entry('F32', '['.repeat(1_000_000), '[0,8]')}` },
  ],
  ['a million open braces', 'invalid-entry', { header: () => '{"a":'.repeat(1_000_000) }],
  ['half a surrogate pair in a name', 'invalid-json', { tensors: `"\\ud800":${good}` }],
  // Names.
  ['two tensors of one name', 'duplicate-name', { tensors: `"param/w":${good},"param/w":${good2}` }],
  ['two spellings of one name', 'duplicate-name', { tensors: `"param/w":${good},"param\\/\\u0077":${good2}` }],
  ['metadata twice', 'duplicate-name', { tensors: `${tensors},"__metadata__":{}` }],
  ['a metadata key twice', 'duplicate-key', { header: (text) => text.replace('"adakit":', '"adakit":"","adakit":') }],
  ['a member of a tensor twice', 'duplicate-key', { tensors: two(good.replace('{', '{"dtype":"F64",'), good2) }],
  [
    'a key of the document twice',
    'duplicate-key',
    { documentText: JSON.stringify(document).replace('{', '{"step":9,') },
  ],
  [
    'a checksum twice',
    'duplicate-key',
    { header: (text) => text.replace('\\"param/w\\":', `\\"slot/m/w\\":\\"${zeros}\\",\\"param/w\\":`) },
  ],
  // Entries.
  [
    'metadata that is no object',
    'invalid-metadata',
    { header: (text) => text.replace(/\{"adakit.sha256.*?\}",/, '[],') },
  ],
  [
    'metadata that is no string',
    'invalid-metadata',
    { header: (text) => text.replace('"adakit":', '"x":1,"adakit":') },
  ],
  ['a tensor that is no object', 'invalid-entry', { tensors: '"param/w":[]' }],
  ['a tensor without a dtype', 'invalid-entry', { tensors: '"param/w":{"shape":[2],"data_offsets":[0,8]}' }],
  ['a tensor without a shape', 'invalid-entry', { tensors: '"param/w":{"dtype":"F32","data_offsets":[0,8]}' }],
  ['a tensor without offsets', 'invalid-entry', { tensors: '"param/w":{"dtype":"F32","shape":[2]}' }],
  ['a tensor with one member more', 'invalid-entry', { tensors: two(good.replace('{', '{"url":"http://x",'), good2) }],
  ['a member called __proto__', 'invalid-entry', { tensors: two(good.replace('{', '{"__proto__":{},'), good2) }],
  ['a dtype that is a number', 'invalid-entry', { tensors: two(good.replace('"F32"', '32'), good2) }],
  ['an unknown dtype', 'unknown-dtype', { tensors: two(good.replace('F32', 'F33'), good2) }],
  ['a dtype in lower case', 'unknown-dtype', { tensors: two(good.replace('F32', 'f32'), good2) }],
  ['a dtype that every object has', 'unknown-dtype', { tensors: two(good.replace('F32', 'constructor'), good2) }],
  ['a dtype called __proto__', 'unknown-dtype', { tensors: two(good.replace('F32', '__proto__'), good2) }],
  // Shapes.
  ['a shape that is a number', 'invalid-shape', { tensors: two(entry('F32', '2', '[0,8]'), good2) }],
  ['a negative size', 'invalid-shape', { tensors: two(entry('F32', '[-2]', '[0,8]'), good2) }],
  ['two negative sizes', 'invalid-shape', { tensors: two(entry('F32', '[-1,-2]', '[0,8]'), good2) }],
  ['minus zero', 'invalid-shape', { tensors: two(entry('F32', '[-0,2]', '[0,0]'), good2) }],
  ['half an element', 'invalid-shape', { tensors: two(entry('F32', '[0.5,4]', '[0,8]'), good2) }],
  ['a size with a point', 'invalid-shape', { tensors: two(entry('F32', '[2.0]', '[0,8]'), good2) }],
  ['a size with an exponent', 'invalid-shape', { tensors: two(entry('F32', '[2e0]', '[0,8]'), good2) }],
  ['a size in quotes', 'invalid-shape', { tensors: two(entry('F32', '["2"]', '[0,8]'), good2) }],
  ['a size of null', 'invalid-shape', { tensors: two(entry('F32', '[null]', '[0,8]'), good2) }],
  ['a size of 2^53', 'invalid-shape', { tensors: two(entry('F32', '[9007199254740992]', '[0,8]'), good2) }],
  ['65 dimensions', 'invalid-shape', { tensors: two(entry('F32', `[2${',1'.repeat(64)}]`, '[0,8]'), good2) }],
  [
    'too many elements to count',
    'shape-overflow',
    { tensors: two(entry('F32', '[4294967296,4294967296]', '[0,8]'), good2) },
  ],
  [
    'as many, times zero',
    'shape-overflow',
    { tensors: two(entry('F32', '[4294967296,4294967296,0]', '[0,0]'), good2) },
  ],
  [
    'so many that 64 bits count none',
    'shape-overflow',
    { tensors: two(entry('F32', '[4294967296,1073741824]', '[0,0]'), good2) },
  ],
  // Offsets.
  ['one offset', 'invalid-offsets', { tensors: two(entry('F32', '[2]', '[8]'), good2) }],
  ['three offsets', 'invalid-offsets', { tensors: two(entry('F32', '[2]', '[0,8,16]'), good2) }],
  ['offsets that are no array', 'invalid-offsets', { tensors: two(entry('F32', '[2]', '8'), good2) }],
  ['a negative offset', 'invalid-offsets', { tensors: two(entry('F32', '[2]', '[-8,0]'), good2) }],
  ['an offset of 1e1', 'invalid-offsets', { tensors: two(entry('F32', '[2]', '[2,1e1]'), good2) }],
  [
    'an offset past 2^53',
    'invalid-offsets',
    { tensors: two(entry('F32', '[2]', '[9007199254740993,9007199254741001]'), good2) },
  ],
  ['an end before the beginning', 'offsets-reversed', { tensors: two(entry('F32', '[2]', '[8,0]'), good2) }],
  ['fewer bytes than the shape needs', 'size-mismatch', { tensors: two(entry('F32', '[3]', '[0,8]'), good2) }],
  ['more bytes than the shape needs', 'size-mismatch', { tensors: two(entry('F32', '[1]', '[0,8]'), good2) }],
  ['a wider element type', 'size-mismatch', { tensors: two(entry('F64', '[2]', '[0,8]'), good2) }],
  ['half a byte', 'size-mismatch', { tensors: two(entry('F4', '[17]', '[0,8]'), good2) }],
  ['two tensors in one place', 'offsets-overlap', { tensors: two(good, good) }],
  ['tensors that overlap by four bytes', 'offsets-overlap', { tensors: two(good, entry('F32', '[2]', '[4,12]')) }],
  [
    'an empty tensor inside another',
    'offsets-overlap',
    { tensors: `${two(good, good2)},"statistic/x":${entry('U8', '[0]', '[4,4]')}` },
  ],
  ['a hole between tensors', 'offsets-hole', { tensors: two(entry('F32', '[1]', '[0,4]'), good2) }],
  ['a hole at the start', 'offsets-hole', { tensors: two(entry('F32', '[1]', '[4,8]'), good2) }],
  ['a tensor outside the file', 'offsets-out-of-bounds', { tensors: two(good, entry('F32', '[2]', '[1000,1008]')) }],
  [
    'a tensor that ends outside the file',
    'truncated-data',
    { tensors: two(good, entry('F32', '[1000000]', '[8,4000008]')) },
  ],
  ['data without its last byte', 'truncated-data', { file: (bytes) => bytes.subarray(0, -1) }],
  ['no data', 'truncated-data', { file: (bytes) => bytes.subarray(0, -16) }],
  ['a byte after the data', 'trailing-bytes', { data: f32(1, 2, 3, 4, 5).subarray(0, 17) }],
  ['a second file after the data', 'trailing-bytes', { file: (bytes) => Uint8Array.from([...bytes, ...bytes]) }],
  ['data that no tensor owns', 'trailing-bytes', { tensors: '' }],
  // Checksums.
  ['one bit of a parameter changed', 'tensor-checksum', { file: set(-16, 1) }],
  ['one bit of a slot changed', 'tensor-checksum', { file: set(-1, 0x41) }],
  ['parameter and slot exchanged', 'tensor-checksum', { tensors: two(good2, good) }],
  ['a digit of the header checksum changed', 'header-checksum', { file: set(8 + 34, 'g'.charCodeAt(0)) }],
  ['a step changed', 'header-checksum', { file: (bytes) => replaced(bytes, '\\"step\\":3', '\\"step\\":4') }],
  [
    'a dtype changed',
    'header-checksum',
    {
      file: (bytes) =>
        replaced(bytes, '"dtype":"F32","shape":[2],"data_offsets":[0', '"dtype":"I32","shape":[2],"data_offsets":[0'),
    },
  ],
  ['a tensor renamed', 'header-checksum', { file: (bytes) => replaced(bytes, '"param/w":{', '"param/v":{') }],
  ['no header checksum', 'missing-checksum', { header: (text) => text.replace(`"adakit.sha256":"${zeros}",`, '') }],
  [
    'a header checksum in another place',
    'missing-checksum',
    {
      header: (text) =>
        text
          .replace(`"adakit.sha256":"${zeros}",`, '')
          .replace('"adakit":', `"adakit.sha256":"${zeros}","adakit":`)
          .replace('{"adakit.sha256"', '{"x":"","adakit.sha256"'),
    },
  ],
  [
    'white space before the header checksum',
    'missing-checksum',
    { header: (text) => text.replace(':{"adakit.sha256"', ': {"adakit.sha256"') },
  ],
  [
    'no tensor checksums',
    'missing-checksum',
    { header: (text) => text.replace('adakit.tensor_sha256', 'adakit.something') },
  ],
  ['a tensor without a checksum', 'missing-checksum', { checksums: { 'param/w': sha256(f32(1, 2)) } }],
  [
    'a checksum without a tensor',
    'missing-checksum',
    { checksums: { 'param/w': zeros, 'slot/m/w': zeros, 'param/v': zeros } },
  ],
  ['a short checksum', 'missing-checksum', { checksums: { 'param/w': '00', 'slot/m/w': zeros } }],
  ['a checksum in upper case', 'missing-checksum', { checksums: { 'param/w': 'A'.repeat(64), 'slot/m/w': zeros } }],
  [
    'a checksum of another tensor',
    'tensor-checksum',
    { checksums: { 'param/w': sha256(f32(3, 4)), 'slot/m/w': zeros } },
  ],
  ['checksums that are no object', 'invalid-json', { checksums: [] }],
  // The document.
  ['a file of another program', 'missing-document', { header: () => `{${tensors}}` }],
  ['a document that is not JSON', 'invalid-json', { documentText: '{step:3}' }],
  ['an empty document', 'invalid-json', { documentText: '' }],
  ['a document that is an array', 'invalid-document', { document: [] }],
  ['a document with half a surrogate pair', 'invalid-json', { documentText: '"\\ud800"' }],
  [
    'a document nested a thousand deep',
    'invalid-json',
    { documentText: `{"formatVersion":2,"random":${'['.repeat(1000)}${']'.repeat(1000)}}` },
  ],
  [
    'schedules nested too deep to follow',
    'invalid-json',
    { document: { ...document, optimizer: { ...optimizer, schedules: { lr: nestedSchedule(40) } } } },
  ],
  [
    'a document of a million numbers',
    'header-too-large',
    { documentText: `{"formatVersion":2,"random":[${'0,'.repeat(1_000_000)}0]}` },
  ],
  ['no format version', 'invalid-document', { document: { ...document, formatVersion: undefined } }],
  ['a format version in quotes', 'invalid-document', { document: { ...document, formatVersion: '2' } }],
  ['format version 0', 'unsupported-version', { document: { ...document, formatVersion: 0 } }],
  ['format version 3', 'newer-version', { document: { ...document, formatVersion: 3 } }],
  ['version 2 that says it is 1', 'invalid-document', { document: { ...document, formatVersion: 1 } }],
  ['version 1 that says it is 2', 'invalid-document', { document: { ...version1, formatVersion: 2 } }],
  [
    'a rule of somebody else in version 1',
    'unsupported-version',
    { document: { ...version1, optimizer: { ...version1.optimizer, name: 'constructor' } } },
  ],
  ['parameter steps of version 1 in an array', 'invalid-document', { document: { ...version1, parameterSteps: [] } }],
  ['a parameter step of -1 in version 1', 'invalid-document', { document: { ...version1, parameterSteps: { w: -1 } } }],
  ['rules in version 1', 'invalid-document', { document: { ...version1, rules: [] } }],
  ['something the format does not know', 'invalid-document', { document: { ...document, command: 'rm' } }],
  [
    'something the optimizer does not know',
    'invalid-document',
    { document: { ...document, optimizer: { ...optimizer, url: 'x' } } },
  ],
  [
    'a document key __proto__',
    'invalid-document',
    { documentText: JSON.stringify(document).replace('{', '{"__proto__":{"polluted":1},') },
  ],
  [
    'a hyperparameter __proto__',
    'invalid-document',
    { documentText: JSON.stringify(document).replace('"lr"', '"__proto__"') },
  ],
  [
    'a random state with __proto__',
    'invalid-document',
    { documentText: JSON.stringify(document).replace('{', '{"random":{"a":[{"__proto__":1}]},') },
  ],
  ['no optimizer', 'invalid-document', { document: { ...document, optimizer: undefined } }],
  [
    'an optimizer without a name',
    'invalid-document',
    { document: { ...document, optimizer: { ...optimizer, name: '' } } },
  ],
  [
    'a program hash that is none',
    'invalid-document',
    { document: { ...document, rules: [{ ...rule, programHash: 'x' }] } },
  ],
  ['a group that is no regular expression', 'invalid-document', { document: grouped({ pattern: '(', flags: '' }) }],
  ['a group of an unknown condition', 'invalid-document', { document: grouped({ conditions: { eval: 1 } }) }],
  ['a group of a number', 'invalid-document', { document: grouped(1) }],
  [
    'an optimizer of an unknown kind',
    'invalid-document',
    { document: { ...document, optimizer: { ...optimizer, kind: 'x' } } },
  ],
  [
    'a rule around another',
    'invalid-document',
    { document: { ...document, optimizer: { ...optimizer, inner: optimizer } } },
  ],
  [
    'a wrapper around nothing',
    'invalid-document',
    { document: { ...document, optimizer: { ...optimizer, kind: 'wrapper' } } },
  ],
  ['wrappers nested too deep to follow', 'invalid-json', { document: { ...document, optimizer: nestedWrapper(70) } }],
  [
    'an unknown schedule',
    'invalid-document',
    { document: { ...document, optimizer: { ...optimizer, schedules: { lr: { kind: 'eval' } } } } },
  ],
  [
    'a hyperparameter that overflows',
    'non-finite',
    { documentText: JSON.stringify(document).replace('0.001', '1e999') },
  ],
  ['a hyperparameter of null', 'invalid-document', { documentText: JSON.stringify(document).replace('0.001', 'null') }],
  [
    'a step that overflows',
    'non-finite',
    { documentText: JSON.stringify(document).replace('"step":3', '"step":1e999') },
  ],
  ['a negative step', 'invalid-document', { document: { ...document, step: -1 } }],
  ['half a step', 'invalid-document', { document: { ...document, step: 0.5 } }],
  ['a metric of null', 'invalid-document', { document: { ...document, metric: null } }],
  ['parameters that are an array', 'invalid-document', { document: { ...document, parameters: [] } }],
  ['a parameter step of -1', 'invalid-document', { document: { ...document, parameters: { w: { step: -1 } } } }],
  ['a rule that is not there', 'invalid-document', { document: { ...document, parameters: { w: { rule: 1 } } } }],
  ['an unknown role', 'invalid-document', { document: { ...document, parameters: { w: { role: 'root' } } } }],
  [
    'an entry of a parameter with __proto__',
    'invalid-document',
    { documentText: JSON.stringify(document).replace('"parameters":{', '"parameters":{"w":{"__proto__":{}}') },
  ],
  [
    'a parameter that is not there',
    'missing-parameter',
    { document: { ...document, parameters: { constructor: { step: 1 } } } },
  ],
  ['a number that is no word', 'invalid-document', { document: { ...document, globals: { norm: 'nan' } } }],
  ['a loss scale without its count', 'invalid-document', { document: { ...document, lossScale: { scale: 1 } } }],
  [
    'half a collected batch',
    'invalid-document',
    { document: { ...document, collected: { batches: 0.5, samples: 1 } } },
  ],
  ['a position in the data that is a list', 'invalid-document', { document: { ...document, data: [] } }],
  ['unknown axes', 'invalid-document', { document: withAxes(['depth', 1]) }],
  ['a rank of none', 'invalid-document', { document: withAxes(['rows', 'rank 0']) }],
  ['a rank that is no whole number', 'invalid-document', { document: withAxes(['rows', 'rank 1.5']) }],
  ['a rank that makes another shape', 'slot-shape', { document: withAxes([1, 'rank 1']) }],
  ['three axes', 'invalid-document', { document: withAxes(['rows', 'cols', 1]) }],
  ['axes that make another shape', 'slot-shape', { document: withAxes([1, 'cols']) }],
  ['axes of one number for two', 'slot-shape', { document: withAxes([]) }],
  // What the tensors are.
  ['a tensor that is nothing', 'unknown-tensor', { ...renamed('param/v.grad', 'gradient/w') }],
  ['a path as a name', 'unknown-tensor', { ...renamed('param/w', '../../etc/passwd') }],
  ['a parameter without a name', 'unknown-tensor', { ...renamed('param/', 'slot/m/w') }],
  ['a slot without a parameter', 'missing-parameter', { ...renamed('param/v', 'slot/m/w') }],
  ['a slot of something every object has', 'missing-parameter', { ...renamed('param/w', 'slot/m/constructor') }],
  ['a parameter of integers', 'wrong-dtype', { tensors: two(entry('I32', '[2]', '[0,8]'), good2) }],
  ['a slot of booleans', 'wrong-dtype', { tensors: two(good, entry('BOOL', '[8]', '[8,16]')) }],
  ['a slot of another shape', 'slot-shape', { tensors: two(good, entry('F32', '[2,1]', '[8,16]')) }],
];

function replaced(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const text = Buffer.from(bytes).toString('latin1');
  expect(text).toContain(from);
  return Buffer.from(text.replace(from, to), 'latin1');
}

function renamed(first: string, second: string): Forgery {
  const data = f32(1, 2, 3, 4);
  return {
    tensors: `${JSON.stringify(first)}:${good},${JSON.stringify(second)}:${good2}`,
    checksums: { [first]: sha256(data.subarray(0, 8)), [second]: sha256(data.subarray(8)) },
  };
}

function withAxes(axes: unknown): unknown {
  return { ...document, rules: [{ slots: { m: { axes } } }] };
}

function nestedWrapper(depth: number): unknown {
  return depth === 0 ? optimizer : { ...optimizer, kind: 'wrapper', inner: nestedWrapper(depth - 1) };
}

function nestedSchedule(depth: number): unknown {
  return depth === 0
    ? { kind: 'exponential', factor: 1 }
    : { kind: 'sequence', parts: [{ schedule: nestedSchedule(depth - 1), steps: 1 }] };
}

function refusal(bytes: Uint8Array): StateFileError {
  try {
    decodeState(bytes, { file: 'attack.safetensors' });
  } catch (error) {
    if (error instanceof StateFileError) return error;
    throw error;
  }
  throw new Error('the file was accepted');
}

test('the file that the attacks start from is valid', () => {
  expect(decodeState(forge({})).parameters.w.slots.m.data).toEqual(Float32Array.of(3, 4));
});

describe('refused:', () => {
  test.each(attacks)('%s (%s)', (_, code, forgery) => {
    const error = refusal(forge(forgery));
    expect(error.code, error.message).toBe(code);
    expect(error.message).toMatch(/^attack\.safetensors/);
    expect('polluted' in {}).toBe(false);
  });

  test('NaN and infinities where they are forbidden', () => {
    for (const value of [NaN, Infinity, -Infinity]) {
      const bytes = forge({ data: f32(1, 2, 3, value) });
      expect(() => decodeState(bytes)).not.toThrow();
      expect(() => decodeState(bytes, { finite: true })).toThrow('tensor "slot/m/w": element 1 is infinite or NaN');
    }
  });
});

describe('an error says where:', () => {
  test('the byte of a syntax error, counted in UTF-8', () => {
    const error = refusal(forge({ tensors: `"param/é中😀":${good},"slot/m/w":!` }));
    const bytes = forge({ tensors: `"param/é中😀":${good},"slot/m/w":!` });
    expect(error.offset).toBe(bytes.lastIndexOf('!'.charCodeAt(0)));
  });

  test('the first byte that is not UTF-8', () => {
    expect(refusal(forge({ file: set(77, 0xfe) })).offset).toBe(77);
  });

  test('the file, the tensor and where it begins', () => {
    const bytes = forge({ file: set(-1, 0x41) });
    const error = refusal(bytes);
    expect(error).toMatchObject({ file: 'attack.safetensors', tensor: 'slot/m/w', offset: bytes.length - 8 });
    expect(error.message).toMatch(
      /^attack\.safetensors, tensor "slot\/m\/w", byte \d+: its bytes are not what was written/,
    );
  });

  test('every wrong place of a document', () => {
    const bytes = forge({ document: { ...document, step: -1, metric: 'x', optimizer: { ...optimizer, name: 1 } } });
    const { message } = refusal(bytes);
    for (const path of ['step:', 'metric:', 'optimizer.name:']) expect(message).toContain(path);
  });
});

test('a tensor file accepts the metadata and names of any program', () => {
  const { tensors, metadata } = decodeTensors(forge({ tensors: `"__proto__":${good},"":${good2}` }));
  expect([...tensors.keys()]).toEqual(['__proto__', '']);
  expect(metadata.size).toBe(3);
});
