/** What the images of this repository say about themselves; nothing is pulled here. */
export interface Image {
  readonly entrypoint: readonly string[];
  readonly workingFolder: string;
  readonly user: number;
  readonly group: number;
  readonly environment: Readonly<Record<string, string>>;
}

const OURS = /(^|\/)harikube\/(router|platform|email-function)(:[\w][\w.-]*|@sha256:[0-9a-f]{64})$/;

const NONROOT = 65_532;

/** Throws for the image of somebody else. */
export function imageOf(reference = ''): Image {
  if (!OURS.test(reference)) throw new Error(`the image ${reference} is not known: nothing is pulled here`);
  return {
    entrypoint: ['node', '/app/apps/cli/bin/harikube.js'],
    workingFolder: '/app',
    user: NONROOT,
    group: NONROOT,
    environment: {
      // The Node of this repository, whatever the machine has.
      PATH: '/app/node_modules/node/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/home/nonroot',
      NODE_ENV: 'production',
    },
  };
}
