/** What was found about one property of a case. */
export type Outcome =
  | { readonly status: 'pass' }
  /** There is nothing to check: no gradient of integers. */
  | { readonly status: 'none' }
  /** The derivative does not exist at this point; it is one of the slopes to the sides where these exist. */
  | { readonly status: 'kink'; readonly why: string }
  | { readonly status: 'skip'; readonly why: string }
  | { readonly status: 'fail'; readonly why: string };

export const pass: Outcome = { status: 'pass' };
export const none: Outcome = { status: 'none' };
export const skipped = (why: string): Outcome => ({ status: 'skip', why });
export const failed = (why: string): Outcome => ({ status: 'fail', why });
