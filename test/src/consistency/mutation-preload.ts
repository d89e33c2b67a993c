/*
 * Loaded by Node before a router (`--import`, see `mutationFlags`), in each of its threads: replaces text in modules as they are loaded. A
 * module in which that text is not found ends the process.
 */

import { registerHooks } from 'node:module';
import { mutationsOf } from './mutants.js';
import { mutate, mutationOf } from './mutation.js';

const mutations = mutationsOf(new URL(import.meta.url).searchParams.getAll('name'));

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    let source = loaded.source;
    for (let rest = mutations, found = mutationOf(url, rest); found !== undefined; found = mutationOf(url, rest)) {
      source = mutate(found, textOf(source));
      rest = rest.filter((each) => each !== found);
    }
    return source === loaded.source ? loaded : { ...loaded, source };
  },
});

function textOf(source: string | ArrayBuffer | NodeJS.TypedArray | undefined): string {
  return typeof source === 'string' ? source : new TextDecoder().decode(source);
}
