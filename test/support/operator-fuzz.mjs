// Calls operators and functions of the tensor layer with arguments of every kind and without any sense, for some seconds. Prints what was thrown that
// is no error of the library's. A crash ends the process, which is what it is for; then the last line of the file given says what was called.
import fs from 'node:fs';

const [seed, seconds, log] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
const tensors = await import('../../dist/tensor/index.js');
const { Blip2Error } = await import('../../dist/native/errors.js');
const { Generator, ones, randint, scope, setThreads, slice, Tensor, zeros } = tensors;
setThreads(1);

let state = seed >>> 0;
/** mulberry32 */
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const pick = (list) => list[Math.floor(random() * list.length)];

const DTYPES = [
  'float32',
  'float64',
  'float16',
  'bfloat16',
  'int64',
  'int32',
  'int16',
  'int8',
  'uint8',
  'bool',
  'uint32',
  'complex64',
  'float8_e5m2',
];
const SHAPES = [[], [0], [1], [3], [2, 3], [3, 3], [1, 3, 4, 4], [0, 3], [2, 0, 2], [1, 1, 1, 1, 1], [2, 1, 2, 4]];

function someTensor() {
  const dtype = pick(DTYPES);
  const shape = pick(SHAPES);
  if (random() < 0.04) return zeros(shape, { dtype, device: 'meta' });
  let tensor = randint(-2, 4, shape).to(dtype);
  if (shape.length > 1 && random() < 0.2) tensor = tensor.transpose(0, 1);
  if (random() < 0.1) tensor = tensor.unsqueeze(0).expand(2, ...tensor.shape);
  if (random() < 0.1 && /^(b?float(16|32|64)|complex)/.test(dtype)) tensor.requiresGrad_();
  if (random() < 0.03) tensor.dispose();
  return tensor;
}

const NUMBERS = [
  0,
  1,
  2,
  3,
  -1,
  -2,
  4,
  7,
  64,
  -(2 ** 31),
  2 ** 53,
  -(2 ** 53),
  2 ** 62,
  -(2 ** 63),
  1e300,
  0.5,
  -0,
  NaN,
  Infinity,
  -Infinity,
];
const LISTS = [
  [],
  [1],
  [2, 3],
  [0],
  [-1],
  [0, 1],
  [2, 1, 0],
  [-1, -1],
  [2 ** 62, 4],
  [1.5],
  ['a'],
  [null],
  [undefined],
  [[1]],
  new Array(3),
];
const OTHERS = [
  ...[
    null,
    undefined,
    true,
    false,
    'x',
    '',
    'float32',
    'mean',
    'tanh',
    'floor',
    'cpu',
    'cuda',
    'a'.repeat(1000),
    Symbol('s'),
    10n,
    2n ** 70n,
  ],
  ...[
    {},
    { handle: 1 },
    { dtype: 'int64' },
    { device: 'cuda' },
    { generator: 5 },
    { reduction: 'x' },
    { scale: NaN },
    { step: 0 },
    '...',
  ],
  ...[
    slice(0, 1, 0),
    slice(-5, 7, 2),
    new Generator(3),
    new Float32Array(4),
    new Uint8Array(500),
    new Map(),
    new Date(),
    () => 1,
    async () => 1,
  ],
  function* () {
    yield 1;
  },
  {
    get dtype() {
      throw new TypeError('a getter');
    },
  },
];

function value() {
  const which = random();
  if (which < 0.5) return someTensor();
  if (which < 0.65) return pick(NUMBERS);
  if (which < 0.75) return pick(LISTS);
  if (which < 0.8) return [someTensor(), someTensor()].slice(0, Math.floor(random() * 3));
  return pick(OTHERS);
}

// Not these: they read files that may be there, set what the whole process has, or call what is documented as unsafe.
const LEFT_OUT =
  /^(setThreads|callOperator|loadSafetensors|openSafetensors|saveSafetensors|loadTorchFile|openTorchFile|openWeights)$/;
const isClass = (f) => /^class\b/.test(Function.prototype.toString.call(f));
const functions = Object.entries(tensors).filter(([name, f]) => typeof f === 'function' && !isClass(f) && !LEFT_OUT.test(name));
const members = new Map();
for (let prototype = Tensor.prototype; prototype !== Object.prototype; prototype = Object.getPrototypeOf(prototype)) {
  for (const name of Object.getOwnPropertyNames(prototype)) {
    if (name !== 'constructor' && !members.has(name)) members.set(name, Object.getOwnPropertyDescriptor(prototype, name));
  }
}
const names = [...members.keys()];

function shown(x) {
  if (x instanceof Tensor) return x.isFreed ? 'freed' : `${x.dtype}[${x.shape}]${x.device === 'cpu' ? '' : '@meta'}`;
  if (Array.isArray(x)) return `[${x.map(shown).join(',')}]`;
  if (typeof x === 'object' && x !== null) return `${x.constructor.name}{${Object.keys(x)}}`;
  return typeof x === 'function' ? 'function' : String(x).slice(0, 40);
}

const descriptor = fs.openSync(log, 'w');
const untyped = new Map();
function attempt(call, run) {
  fs.writeSync(descriptor, `${call.slice(0, 400).padEnd(400)}\n`, 0);
  try {
    run();
  } catch (error) {
    if (!(error instanceof Blip2Error) && error?.message !== 'a getter')
      untyped.set(`${call.split('(', 1)} ${error}`, `${call}: ${error}`);
  }
}

const end = Date.now() + seconds * 1000;
let calls = 0;
while (Date.now() < end) {
  scope(() => {
    for (let i = 0; i < 20; i++, calls++) {
      const args = Array.from({ length: Math.floor(random() * 5) }, value);
      if (random() < 0.7) {
        const self = random() < 0.9 ? someTensor() : ones([2, 2]);
        const name = pick(names);
        const { value: method, get, set } = members.get(name);
        const run = method ?? (set === undefined || random() < 0.7 ? get : set);
        attempt(`${shown(self)}.${name}(${args.map(shown).join(', ')})`, () => run.apply(self, args));
      } else {
        const [name, f] = pick(functions);
        attempt(`${name}(${args.map(shown).join(', ')})`, () => f(...args));
      }
    }
  });
}
console.log(JSON.stringify({ calls, untyped: [...untyped.values()] }));
