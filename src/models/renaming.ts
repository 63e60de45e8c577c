/** Names of the same tensors under two conventions: theirs and ours. */
export type NamePair = readonly [theirs: string, ours: string];

interface Rule {
  readonly theirs: RegExp;
  readonly ours: RegExp;
  readonly toTheirs: string;
  readonly toOurs: string;
}

/** Translates names both ways. In a pair, `#` stands for a number and `*` for all that follows; the first pair that fits counts. */
export class Renaming {
  readonly #rules: readonly Rule[];

  constructor(pairs: readonly NamePair[]) {
    this.#rules = pairs.map(([theirs, ours]) => ({
      theirs: pattern(theirs),
      ours: pattern(ours),
      toTheirs: replacement(theirs),
      toOurs: replacement(ours),
    }));
  }

  /** Our name of their tensor; undefined where we have none. */
  toOurs(name: string): string | undefined {
    const rule = this.#rules.find(({ theirs }) => theirs.test(name));
    return rule && name.replace(rule.theirs, rule.toOurs);
  }

  /** Their name of our tensor; undefined where they have none. */
  toTheirs(name: string): string | undefined {
    const rule = this.#rules.find(({ ours }) => ours.test(name));
    return rule && name.replace(rule.ours, rule.toTheirs);
  }
}

function pattern(template: string): RegExp {
  const escaped = template.replaceAll('.', '\\.').replace('#', '(\\d+)').replace('*', '(.+)');
  return new RegExp(`^${escaped}$`);
}

function replacement(template: string): string {
  let groups = 0;
  return template.replace(/[#*]/g, () => `$${++groups}`);
}
