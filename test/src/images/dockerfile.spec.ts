import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { routerMemory } from '../router-memory.js';
import { parseDockerfile } from './dockerfile.js';

const TEXT = `# syntax=docker/dockerfile:1
ARG BUILD_IMAGE=node:24
FROM --platform=$BUILDPLATFORM \${BUILD_IMAGE} AS build
WORKDIR /src
COPY a b/c ./
RUN --mount=type=cache,target=/var/cache/npm npm ci
FROM build AS files
ARG TARGETARCH
RUN make "$TARGETARCH"

FROM other/image:1 AS base
USER 1:1
# between
ENV A=1 B="two words"
ENTRYPOINT ["node", "x.js"]
LABEL org.a="b c" \\
      org.d="e"
FROM base AS final
COPY --from=files /app /app
EXPOSE 1 2
CMD ["run"]
`;

describe('a Dockerfile', () => {
  const given = { BUILDPLATFORM: 'linux/amd64', TARGETARCH: 'arm64' };

  it('is a list of stages with their steps, with what they inherit', () => {
    const [build, files, , final] = parseDockerfile(TEXT, given);
    expect(build).toMatchObject({ name: 'build', base: 'node:24', config: { workdir: '/src' } });
    expect(build?.steps).toEqual([
      { kind: 'copy', from: null, sources: ['a', 'b/c'], target: './' },
      { kind: 'run', command: 'npm ci', caches: ['/var/cache/npm'], args: {} },
    ]);
    expect(files).toMatchObject({
      base: 'build',
      config: { workdir: '/src' },
      steps: [{ command: 'make "$TARGETARCH"', args: { TARGETARCH: 'arm64' } }],
    });
    expect(final).toEqual({
      name: 'final',
      base: 'base',
      steps: [{ kind: 'copy', from: 'files', sources: ['/app'], target: '/app' }],
      config: {
        workdir: '/',
        user: '1:1',
        env: { A: '1', B: 'two words' },
        entrypoint: ['node', 'x.js'],
        cmd: ['run'],
        labels: { 'org.a': 'b c', 'org.d': 'e' },
        ports: [1, 2],
      },
    });
  });

  it.each([
    ['HEALTHCHECK CMD true', 'HEALTHCHECK'],
    ['CMD node x.js', 'CMD node x.js: the list form passes signals on'],
    ['COPY --chown=1:1 a b', 'COPY --chown=1:1 a b'],
    ['RUN --network=none make', 'RUN --network=none make'],
    ['ENV A 1', 'ENV A 1'],
  ])('with %s is refused by name', (line, named) => {
    expect(() => parseDockerfile(`FROM a AS b\n${line}\n`, {})).toThrow(named);
  });
});

describe('docker/Dockerfile', () => {
  it('runs a router in the memory in which the launcher runs one', async () => {
    const text = await readFile(new URL('../../../docker/Dockerfile', import.meta.url), 'utf8');
    const router = parseDockerfile(text, { BUILDPLATFORM: 'linux/amd64', TARGETARCH: 'amd64' }).find(({ name }) => name === 'router');
    expect(router?.config.env).toMatchObject(await routerMemory());
  });
});
