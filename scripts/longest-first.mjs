// The order of the process tests: those that take minutes begin first, so that none of them runs alone at the end.
import { createRequire } from 'node:module';
import path from 'node:path';

// jest's own package, wherever npm put it.
const require = createRequire(createRequire(import.meta.url).resolve('jest'));
const { default: Sequencer } = require(require.resolve('@jest/test-sequencer', { paths: [require.resolve('@jest/core')] }));

/** The longest first, by file name without `.spec.js`. */
const LONG = ['conformance', 'registration', 'up-platform', 'databases', 'controllers', 'etcdctl', 'differential'];

export default class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path: file }) => {
      const place = LONG.indexOf(path.basename(file, '.spec.js'));
      return place === -1 ? LONG.length : place;
    };
    return super.sort(tests).toSorted((one, other) => rank(one) - rank(other));
  }
}
