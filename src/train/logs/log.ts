/** What is known of a step once its numbers have arrived. */
export interface StepRecord {
  /** From 1. */
  readonly step: number;
  /** All steps of the run. */
  readonly steps: number;
  /** Samples seen since the run began. */
  readonly samples: number;
  /** `loss` is what is minimised, the others are its parts. */
  readonly losses: Readonly<Record<string, number>>;
  /** What the objective tells besides losses, such as accuracies. */
  readonly statistics: Readonly<Record<string, number>>;
  /** Of this step. */
  readonly learningRate: number;
  /** The 2-norm of all gradients, before clipping. */
  readonly gradientNorm: number;
  /** The factor on the loss in float16; absent otherwise. */
  readonly lossScale?: number;
  /** Over the steps since the last record: samples a second, and the share of the time that data was waited for. */
  readonly samplesPerSecond: number;
  /** From 0 to 1. */
  readonly dataWait: number;
  /** Bytes: of the process, or the most that the accelerator has had allocated. */
  readonly memory: number;
  /** Seconds that the run still takes at this speed. */
  readonly secondsLeft: number;
}

/** Where a run's numbers go. */
export interface TrainingLog {
  /**
   * The run begins, or goes on.
   * @param step steps done before; what an earlier process logged of later ones no longer counts
   */
  open(step: number): void;
  /** A step is done. */
  step(record: StepRecord): void;
  /** @param step steps done */
  evaluation(step: number, metrics: Readonly<Record<string, number>>): void;
  /** Something that a person should read. */
  message(text: string): void;
  /** Writes what is left. Nothing more is logged. */
  close(): void;
}
