import { addon } from '../native/load.ts';
import { run } from './base.ts';
import { native, operator } from './dispatch.ts';
import { dtypeCode } from './dtype.ts';
import { scope } from './lifetime.ts';
import { noGrad } from './modes.ts';
import { cat } from './ops/shape.ts';
import type { Tensor } from './tensor.ts';

// PyTorch's own defaults (torch.set_printoptions).
const PRECISION = 4;
const THRESHOLD = 1000; // more elements than this are summarised …
const EDGE = 3; // … to this many at each end of a dimension
const LINE_WIDTH = 80;

const VIEW_AS_REAL = operator('view_as_real');
const VIEW_DTYPE = operator('view.dtype');
const RESOLVE_CONJ = operator('resolve_conj');

/** The text of a tensor, exactly as `torch.Tensor.__repr__` writes it. */
export function format(tensor: Tensor): string {
  return noGrad(() => scope(() => text(tensor)));
}

function text(tensor: Tensor): string {
  const { shape, dtype, device, ndim } = tensor;
  const size = `size=(${shape.join(', ')}${ndim === 1 ? ',' : ''})`;
  const suffixes: string[] = [];
  if (device !== 'cpu') suffixes.push(`device='${device}'`);
  let body: string;
  if (device === 'meta') {
    suffixes.push(size);
    if (dtype !== 'float32') suffixes.push(`dtype=torch.${dtype}`);
    body = '...';
  } else if (tensor.numel === 0) {
    if (ndim !== 1) suffixes.push(size);
    if (dtype !== 'float32') suffixes.push(`dtype=torch.${dtype}`);
    body = '[]';
  } else {
    if (!['float32', 'complex64', 'int64', 'bool'].includes(dtype)) suffixes.push(`dtype=torch.${dtype}`);
    body = elements(tensor);
  }
  const gradFn = native(() => addon.gradFn(tensor.handle));
  if (gradFn !== null) suffixes.push(`grad_fn=<${gradFn}>`);
  else if (tensor.requiresGrad) suffixes.push('requires_grad=True');
  return withSuffixes(`tensor(${body}`, suffixes, 'tensor('.length);
}

/** Suffixes go on the last line while there is room, else each on a line of its own. */
function withSuffixes(start: string, suffixes: readonly string[], indent: number): string {
  let result = start;
  let lastLine = start.length - start.lastIndexOf('\n') + 1;
  for (const suffix of suffixes) {
    if (lastLine + suffix.length + 2 > LINE_WIDTH) {
      result += `,\n${' '.repeat(indent)}${suffix}`;
      lastLine = indent + suffix.length;
    } else {
      result += `, ${suffix}`;
      lastLine += suffix.length + 2;
    }
  }
  return `${result})`;
}

/** In a dtype that has kernels; two 4-bit floats are shown as their byte, as in PyTorch. */
function readable(tensor: Tensor): Tensor {
  if (tensor.dtype === 'float4_e2m1fn_x2') return run(VIEW_DTYPE, tensor.handle, dtypeCode('uint8')).to('float16');
  return tensor.dtype.startsWith('float8') ? tensor.to('float16') : tensor;
}

function elements(tensor: Tensor): string {
  const summarize = tensor.numel > THRESHOLD;
  let shown = readable(tensor);
  if (summarize) {
    tensor.shape.forEach((size, dim) => {
      if (size > 2 * EDGE) shown = cat([shown.narrow(dim, 0, EDGE), shown.narrow(dim, size - EDGE, EDGE)], dim);
    });
  }
  return nested(cells(shown), tensor.shape, summarize, 'tensor('.length);
}

/** Elements' texts in row-major order, and the width that they are to have (`inf` and `nan` may have more). */
interface Cells {
  readonly texts: readonly string[];
  readonly width: number;
}

const padded = (texts: readonly string[], width: number): Cells => ({
  texts: texts.map((value) => value.padStart(width)),
  width,
});

function cells(tensor: Tensor): Cells {
  if (tensor.dtype.startsWith('complex')) return complexes(tensor);
  if (tensor.dtype.includes('float')) return floats(Array.from(tensor.to('float64').data() as Float64Array));
  const written = Array.from(tensor.data() as ArrayLike<number | bigint>, (value) =>
    tensor.dtype === 'bool' ? (value ? 'True' : 'False') : String(value),
  );
  return padded(written, Math.max(...written.map((value) => value.length)));
}

function complexes(tensor: Tensor): Cells {
  const parts = run(VIEW_AS_REAL, run(RESOLVE_CONJ, tensor.handle).handle);
  const part = (i: number): Cells => floats(Array.from(parts.select(-1, i).to('float64').data() as Float64Array));
  const [real, imaginary] = [part(0), part(1)];
  const texts = real.texts.map((text, i) => {
    const other = `${imaginary.texts[i]}j`.trimStart();
    return /^[+-]/.test(other) ? text + other : `${text}+${other}`;
  });
  return { texts, width: real.width + imaginary.width + 1 };
}

/** Integers, plain decimals or powers of ten, whichever the range of the finite elements that are not 0 asks for. */
function floats(values: readonly number[]): Cells {
  const telling = values.filter((value) => Number.isFinite(value) && value !== 0);
  const magnitudes = telling.map(Math.abs);
  const largest = magnitudes.reduce((a, b) => Math.max(a, b), 0);
  const least = magnitudes.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const scientific = telling.length > 0 && (largest / least > 1000 || largest > 1e8 || least < 1e-4);
  const whole = telling.every(Number.isInteger);
  const write = (value: number): string => {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
    if (scientific) return exponential(value);
    return whole ? `${fixed(value, 0)}.` : fixed(value, PRECISION);
  };
  const width = telling.reduce((most, value) => Math.max(most, write(value).length), 1);
  return padded(values.map(write), width);
}

const isNegative = (value: number): boolean => value < 0 || Object.is(value, -0);

/** Python's `f'{value:.4f}'`: ties go to the even digit, and −0 keeps its sign. */
function fixed(value: number, digits: number): string {
  const magnitude = Math.abs(value);
  let written = magnitude.toFixed(digits);
  // Four decimals can tie only for odd multiples of 1/32, which are exact; JavaScript rounds those up.
  const isTie = digits === PRECISION && Number.isInteger(magnitude * 32) && (magnitude * 32) % 2 === 1;
  if (isTie && Number(written.at(-1)) % 2 === 1) written = (magnitude - 0.5 / 10 ** PRECISION).toFixed(digits);
  return isNegative(value) ? `-${written}` : written;
}

/** Python's `f'{value:.4e}'`. */
function exponential(value: number): string {
  const magnitude = Math.abs(value);
  let written = magnitude.toExponential(PRECISION);
  const isTie = /^\d\.\d{4}50*e/.test(magnitude.toExponential(100)); // the exact digits
  if (isTie && Number(written[PRECISION + 1]) % 2 === 1) {
    const [digits = '', exponent] = magnitude.toExponential(PRECISION + 1).split('e');
    written = `${digits.slice(0, -1)}e${exponent}`;
  }
  written = written.replace(/e([+-])(\d)$/, 'e$10$2');
  return isNegative(value) ? `-${written}` : written;
}

/** Brackets, commas and line breaks around the cells of a tensor of this shape, of which only the edges are there if `summarize`. */
function nested({ texts, width }: Cells, shape: readonly number[], summarize: boolean, indent: number): string {
  let next = 0;
  const take = (dim: number, margin: number): string => {
    if (dim === shape.length) return texts[next++] as string;
    const size = shape[dim] as number;
    const cut = summarize && size > 2 * EDGE;
    const parts: string[] = [];
    for (let i = 0; i < (cut ? 2 * EDGE : size); i++) {
      if (cut && i === EDGE) parts.push(dim === shape.length - 1 ? ' ...' : '...');
      parts.push(take(dim + 1, margin + 1));
    }
    const gap = ' '.repeat(margin + 1);
    if (dim < shape.length - 1) return `[${parts.join(`,${'\n'.repeat(shape.length - 1 - dim)}${gap}`)}]`;
    const perLine = Math.max(1, Math.floor((LINE_WIDTH - margin) / (width + 2)));
    const lines: string[] = [];
    for (let i = 0; i < parts.length; i += perLine) lines.push(parts.slice(i, i + perLine).join(', '));
    return `[${lines.join(`,\n${gap}`)}]`;
  };
  return take(0, indent);
}
