/** What `topology-changer-program.js` tells. Revisions are texts. `value` null: a deletion. */
export type ChangerLine =
  | { readonly type: 'event'; readonly key: string; readonly value: string | null; readonly revision: string }
  | { readonly type: 'found'; readonly key: string; readonly value: string | null }
  | { readonly type: 'ready'; readonly version: string }
  | { readonly type: 'begin'; readonly key: string; readonly value: string | null }
  /** `revision` null: there was nothing to delete. */
  | { readonly type: 'done'; readonly key: string; readonly revision: string | null }
  | { readonly type: 'applied'; readonly version: string };
