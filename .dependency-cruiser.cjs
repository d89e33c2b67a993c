// The arrows between packages, as docs/architecture.md draws them. A package that is not listed here may import no other, so a package is added
// together with its arrows. A package is imported by its name, which is its entry; nothing reaches into another one's files.

const fs = require('node:fs');
const path = require('node:path');

const platform = ['libs/platform'];
const engine = ['libs/keyspace', ...platform];
const libraries = ['libs/datasources', 'libs/etcd-api', ...engine];

const controllers = ['libs/reconcilers', 'libs/kube', 'libs/crds', 'libs/go-template', ...platform];
const services = [
  'apps/api-server',
  'apps/admission-webhook',
  'apps/registration-controller',
  'apps/tenant-controller',
  'apps/user-controller',
  'apps/topology-operator',
  'apps/watch-trigger',
  'apps/email-function',
];

const mayImport = {
  'libs/platform': [],
  'libs/http2': [],
  'libs/keyspace': platform,
  'libs/local-cluster': platform,
  'libs/etcd-api': ['libs/http2', ...engine],
  'libs/datasources': ['libs/http2', ...engine],
  'libs/testing': ['libs/datasources', 'libs/local-cluster', ...engine],
  // Its kinds are objects of Kubernetes' API, whose types are said once, there; types only.
  'libs/crds': ['libs/kube', ...platform],
  'libs/go-template': [],
  'libs/kube': platform,
  'libs/reconcilers': ['libs/kube', ...platform],
  // What a webhook needs that judges our kinds.
  'libs/admission': ['libs/crds', 'libs/kube', ...platform],
  // Its topology may be in a Secret, which it reads through the API server that it serves.
  'apps/router': ['libs/kube', ...libraries],
  'apps/api-server': ['libs/crds', 'libs/kube', ...platform],
  // Templates of triggers are refused where they are written.
  'apps/admission-webhook': ['libs/admission', 'libs/crds', 'libs/kube', 'libs/go-template', ...platform],
  'apps/registration-controller': controllers,
  'apps/tenant-controller': controllers,
  'apps/user-controller': controllers,
  // What it merges is judged as the router judges it.
  'apps/topology-operator': ['libs/admission', 'libs/datasources', 'libs/keyspace', ...controllers],
  'apps/watch-trigger': controllers,
  'apps/email-function': ['libs/crds', 'libs/kube', ...platform],
  // The one door to each process: it starts the other apps by their entries.
  'apps/cli': ['apps/router', ...services, 'libs/local-cluster', ...controllers, ...libraries],
  test: ['apps/router', 'apps/cli', ...services, 'libs/local-cluster', 'libs/testing', ...controllers, ...libraries],
};

/** The files that the packages export: the only ones that others may import. */
const entries = Object.keys(mayImport).flatMap((folder) => {
  const { exports = {} } = JSON.parse(fs.readFileSync(path.join(__dirname, folder, 'package.json'), 'utf8'));
  const targets = (value) => (typeof value === 'string' ? [value] : Object.values(value).flatMap(targets));
  return targets(exports).map((target) => `^${path.posix.join(folder, target).replace(/(\.d\.ts|\.js)$/, '')}\\.(js|d\\.ts)$`);
});

const anywhereIn = (folders) => `^(${folders.join('|')})/`;
const anyPackage = '^(apps/[^/]+|libs/[^/]+|test)/';
const modules = (names) => `(^|/)node_modules/(${names.join('|')})(/|$)`;

const arrows = Object.entries(mayImport).map(([folder, targets]) => ({
  name: `arrows-of-${folder.replace('/', '-')}`,
  comment: `${folder} may import ${targets.length > 0 ? targets.join(', ') : 'no other package of this tree'}`,
  severity: 'error',
  from: { path: `^${folder}/` },
  to: { path: anyPackage, pathNot: anywhereIn([folder, ...targets]) },
}));

/** Outside packages that belong to some of ours alone. */
const onlyIn = (name, packages, folders, reason) => ({
  name,
  comment: reason,
  severity: 'error',
  from: { path: anyPackage, pathNot: anywhereIn(folders) },
  to: { path: modules(packages) },
});

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...arrows,
    {
      name: 'packages-without-arrows',
      comment: 'list the package and what it may import in mayImport',
      severity: 'error',
      from: { path: anyPackage, pathNot: anywhereIn(Object.keys(mayImport)) },
      to: { path: anyPackage },
    },
    {
      name: 'no-inner-files-of-another-package',
      comment: 'import the package by its name; what is not exported there is not for others',
      severity: 'error',
      from: { path: anyPackage },
      to: { path: anyPackage, pathNot: ['^$1/', ...entries] },
    },
    {
      name: 'no-cycles',
      comment: 'two files that need each other are one idea, or a third file is missing',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'everything-imported-exists',
      comment: 'the import leads nowhere: a name that is not exported, or a package that is not a dependency',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'declared-dependencies-only',
      comment: "add it to the dependencies of the importing workspace's own package.json (what runs the tests is the root's)",
      severity: 'error',
      from: { path: anyPackage },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'], pathNot: modules(['@jest']) },
    },
    {
      name: 'no-tests-in-the-program',
      comment: 'a program does not import its tests, nor what only tests need',
      severity: 'error',
      from: { path: anyPackage, pathNot: ['\\.spec\\.ts$', '/src/spec/', '^libs/testing/', '^test/'] },
      to: { path: ['\\.spec\\.(ts|js)$', '/src/spec/', '^libs/testing/', modules(['@jest', 'jest'])] },
    },
    onlyIn(
      'sql-in-datasources',
      ['typeorm', 'better-sqlite3', 'pg', 'mysql2'],
      ['libs/datasources', 'libs/testing', 'test'],
      'SQL lives in libs/datasources',
    ),
    onlyIn(
      'no-nest-in-the-engine',
      ['@nestjs'],
      ['apps', 'libs/admission', 'libs/etcd-api', 'libs/platform', 'test'],
      'Nest stays at the edge',
    ),
    onlyIn('kubernetes-client', ['@kubernetes'], ['libs/kube'], 'Kubernetes is spoken through libs/kube'),
  ],
  options: {
    tsPreCompilationDeps: true,
    // Another package is seen as what it exports: its compiled entry, which is not followed.
    doNotFollow: { path: ['(^|/)node_modules/', '/dist/'] },
    combinedDependencies: false,
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types'] },
  },
};
