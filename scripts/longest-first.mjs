// The order of the process tests: those that take minutes begin first, so that none of them runs alone at the end.
import path from 'node:path';
import Sequencer from '@jest/test-sequencer';

/** The longest first, by file name without `.spec.js`. */
const LONG = [
  'conformance',
  'images',
  'registration',
  'webshop',
  'data-layer-install',
  'kubernetes-e2e',
  'up-platform',
  'power-loss',
  'fuzz',
  'databases',
  'observability',
  'controllers',
  'api-server',
  'adopt',
  'topology-operator',
  'data-layer-api',
  'trigger-life',
  'topology-changes',
  'killed-router',
  'trigger-failures',
  'etcdctl',
  'up',
  'trigger-kills',
  'differential',
];

export default class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path: file }) => {
      const place = LONG.indexOf(path.basename(file, '.spec.js'));
      return place === -1 ? LONG.length : place;
    };
    return super.sort(tests).toSorted((one, other) => rank(one) - rank(other));
  }
}
