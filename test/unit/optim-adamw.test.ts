import {
  AdamW,
  clipGradNorm,
  linear,
  loadSafetensors,
  openSafetensors,
  Parameter,
  scope,
  setThreads,
  type Tensor,
  threads,
  warmupCosine,
} from '../../src/index.ts';
import { expectClose, expectEqual, expectGradientClose } from '../closeness.ts';

// Small tensors: threads that wait for one another would only cost time on a machine that runs other tests beside these.
const before = threads();
beforeAll(() => setThreads(1));
afterAll(() => setThreads(before));

// Made by scripts/oracle/optim_adamw.py, which says what the run does.
const FILE = 'test/fixtures/optim/adamw.safetensors';
const golden = loadSafetensors(FILE);
const facts = JSON.parse(openSafetensors(FILE).metadata.get('facts') as string) as {
  steps: number;
  betas: [number, number];
  eps: number;
  weightDecay: number;
  clip: number;
  losses: number[];
  norms: number[];
  rates: number[];
};
const NAMES = ['w1', 'b1', 'w2', 'b2', 'late'] as const;
type Name = (typeof NAMES)[number];

const at = (name: string): Tensor => golden.get(name) as Tensor;

class Run {
  readonly parameters: Record<Name, Parameter>;
  readonly optimizer: AdamW;

  constructor() {
    const entries = NAMES.map((name) => [name, new Parameter(at(`first.${name}`).clone())]);
    this.parameters = Object.fromEntries(entries) as Record<Name, Parameter>;
    const { w1, w2, b1, b2, late } = this.parameters;
    const { betas, eps, weightDecay } = facts;
    this.optimizer = new AdamW([{ parameters: [w1, w2], weightDecay }, { parameters: [b1, b2, late] }], {
      lr: 1,
      betas,
      eps,
      weightDecay: 0,
    });
  }

  /** One step; returns the loss and the norm before clipping, and shows the clipped gradients. */
  step(step: number, clipped: () => void = () => {}): { loss: number; norm: number } {
    return scope(() => {
      const { w1, w2, b1, b2, late } = this.parameters;
      const rate = facts.rates[step] as number;
      for (const [i, group] of this.optimizer.groups.entries()) group.lr = i === 0 ? rate : rate / 2;
      let out = linear(linear(at(`batches.${step % 5}.x`), w1, b1).gelu(), w2, b2);
      if (step >= 10) out = out.add(late);
      const loss = out
        .sub(at(`batches.${step % 5}.y`))
        .square()
        .mean();
      this.optimizer.zeroGrad();
      loss.backward();
      const norm = clipGradNorm(Object.values(this.parameters), facts.clip).item();
      clipped();
      this.optimizer.step();
      return { loss: loss.item(), norm };
    });
  }
}

test('fifty steps with two groups, clipping and a schedule are those of torch.optim.AdamW', () => {
  const run = new Run();
  for (let step = 0; step < facts.steps; step++) {
    const { loss, norm } = run.step(step, () => {
      if (!golden.has(`clipped.${step}.w1`)) return;
      for (const name of NAMES) {
        const gradient = run.parameters[name].grad;
        expect(gradient !== null).toBe(golden.has(`clipped.${step}.${name}`));
        if (gradient !== null) expectGradientClose(gradient, at(`clipped.${step}.${name}`));
      }
    });
    expect(Math.abs(loss - (facts.losses[step] as number))).toBeLessThan(1e-5);
    expect(Math.abs(norm - (facts.norms[step] as number))).toBeLessThan(1e-5);
    if (golden.has(`after.${step}.w1`)) {
      for (const name of NAMES) expectClose(run.parameters[name], at(`after.${step}.${name}`));
    }
  }
  const state = run.optimizer.stateDict();
  for (const [i, name] of (['w1', 'w2', 'b1', 'b2', 'late'] as const).entries()) {
    expect(state.steps[i]).toBe(at(`state.${name}.step`).item());
    expectClose(state.tensors.get(`${i}.exp_avg`) as Tensor, at(`state.${name}.exp_avg`));
    expectClose(state.tensors.get(`${i}.exp_avg_sq`) as Tensor, at(`state.${name}.exp_avg_sq`));
  }
});

test('a run that is saved and loaded on the way goes on bit by bit', () => {
  const through = new Run();
  for (let step = 0; step < 30; step++) through.step(step);

  const first = new Run();
  for (let step = 0; step < 8; step++) first.step(step); // `late` has no state yet
  let { groups, steps, tensors } = first.optimizer.stateDict();
  const second = new Run();
  for (const name of NAMES) scope(() => void second.parameters[name].detach().copy_(first.parameters[name].detach()));
  second.optimizer.loadStateDict({ groups, steps, tensors });
  for (let step = 8; step < 20; step++) second.step(step);

  // This time through text and copies, as a file would hold it.
  ({ groups, steps, tensors } = second.optimizer.stateDict());
  const saved = JSON.stringify({ groups, steps });
  const copies = new Map([...tensors].map(([name, tensor]) => [name, tensor.clone()]));
  const third = new Run();
  for (const name of NAMES) scope(() => void third.parameters[name].detach().copy_(second.parameters[name].detach()));
  second.step(20); // what was copied must not change with it
  third.optimizer.loadStateDict({ ...(JSON.parse(saved) as { groups: typeof groups; steps: number[] }), tensors: copies });
  for (let step = 20; step < 30; step++) third.step(step);

  for (const name of NAMES) expectEqual(third.parameters[name], through.parameters[name]);
  const [mine, theirs] = [third.optimizer.stateDict(), through.optimizer.stateDict()];
  expect(mine.groups).toEqual(theirs.groups);
  expect(mine.steps).toEqual(theirs.steps);
  expect([...mine.tensors.keys()]).toEqual([...theirs.tensors.keys()]);
  for (const [name, tensor] of mine.tensors) expectEqual(tensor, theirs.tensors.get(name) as Tensor);
});

test('a state of other parameters is refused and changes nothing', () => {
  const run = new Run();
  run.step(0);
  const { groups, steps, tensors } = run.optimizer.stateDict();
  const before = [...tensors.values()].map((tensor) => tensor.clone());
  const refused = [
    { groups: groups.slice(1), steps, tensors },
    { groups, steps: steps.slice(1), tensors },
    { groups, steps, tensors: new Map([...tensors].slice(1)) },
    { groups, steps, tensors: new Map([...tensors, ['0.exp_avg', tensors.get('1.exp_avg') as Tensor]]) },
    { groups: groups.map((group) => ({ ...group, lr: -1 })), steps, tensors },
  ];
  for (const state of refused)
    expect(() => run.optimizer.loadStateDict(state)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }));
  expect(run.optimizer.stateDict().steps).toEqual(steps);
  for (const [i, tensor] of [...run.optimizer.stateDict().tensors.values()].entries()) expectEqual(tensor, before[i] as Tensor);
});

test('wrong settings and repeated parameters are refused', () => {
  const parameter = new Parameter(at('first.w1').clone());
  expect(() => new AdamW([])).toThrow(/at least one tensor/);
  expect(() => new AdamW([parameter, parameter])).toThrow(/each tensor once/);
  expect(() => new AdamW([parameter], { lr: Number.NaN })).toThrow(/lr/);
  const optimizer = new AdamW([parameter]);
  for (const group of optimizer.groups) group.lr = Number.NaN;
  expect(() => optimizer.step()).toThrow(expect.objectContaining({ argument: 'lr', received: 'NaN' }));
  expect(() => new AdamW([parameter], { betas: [0.9, 1] })).toThrow(/betas/);
  expect(() => clipGradNorm([parameter], 0)).toThrow(/maxNorm/);
});

test('clipping leaves small gradients as they are and returns 0 without any', () => {
  const parameter = new Parameter(at('first.w1').clone());
  expect(clipGradNorm([parameter], 1).item()).toBe(0);
  const gradient = at('first.w1').clone().mul(1e-3);
  parameter.grad = gradient;
  expect(clipGradNorm([parameter], 1).item()).toBeCloseTo(gradient.norm().item(), 8);
  expectEqual(parameter.grad as unknown as Tensor, gradient);
});

test('the schedule rises in a line and falls by half a cosine', () => {
  const rate = warmupCosine({ peak: 8, floor: 2, start: 4, warmupSteps: 4, totalSteps: 12 });
  expect([0, 1, 2, 3, 4].map(rate)).toEqual([4, 5, 6, 7, 8]);
  expect(rate(8)).toBeCloseTo(5, 12);
  expect(rate(12)).toBeCloseTo(2, 12);
  expect(rate(99)).toBeCloseTo(2, 12);
  expect(() => warmupCosine({ peak: 1, warmupSteps: 5, totalSteps: 4 })).toThrow(/totalSteps/);
  expect(() => warmupCosine({ peak: Number.NaN, warmupSteps: 1, totalSteps: 4 })).toThrow(/peak/);
});
