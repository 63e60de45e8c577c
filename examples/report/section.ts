/** Something to show: a picture of 64 × 64 pixels of red, green and blue, or words. */
export type Item = { readonly mark?: Mark } & (
  | { readonly pixels: Uint8Array }
  /** Words that are not right are marked one by one where `wrongWords` says so. */
  | { readonly text: string; readonly wrongWords?: readonly boolean[] }
);

/** How an item is shown: as right, as wrong, or as what is only there to compare with. */
export type Mark = 'right' | 'wrong' | 'quiet';

/** A line of points, each with x and y. */
export interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** A part of a report. Pages and sheets know how to show each kind. */
export type Section = { readonly title: string; readonly note?: string } & (
  | { readonly kind: 'text' }
  | { readonly kind: 'table'; readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] }
  | { readonly kind: 'curves'; readonly xName: string; readonly yName: string; readonly curves: readonly Curve[] }
  /** Each row begins with what was asked, and goes on with what was found. */
  | { readonly kind: 'rows'; readonly rows: readonly Row[] }
);

/** What was asked, and what was found. */
export interface Row {
  readonly query: readonly Item[];
  readonly found: readonly Item[];
}

/** A whole report. */
export interface Report {
  readonly title: string;
  readonly summary: string;
  readonly sections: readonly Section[];
}
