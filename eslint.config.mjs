import tseslint from 'typescript-eslint';

// What Prettier or the compiler already decides is not repeated here. Each rule below stands for a mistake that reads well and runs wrong, or
// for a boundary inside one package; the arrows between packages are in .dependency-cruiser.cjs.

const processEnvironment = {
  selector: "MemberExpression[object.name='process'][property.name='env']",
  message: 'only libs/platform/src/env.ts reads process.env: take the value from a parsed configuration',
};
const openDataSource = {
  selector: "NewExpression[callee.name='DataSource']",
  message: 'the DataSourceRegistry in libs/datasources opens every DataSource, so that it can close them',
};
const focusedTest = [
  {
    selector: 'MemberExpression[object.name=/^(it|test|describe)$/][property.name=/^(only|skip|todo|failing)$/]',
    message: 'a test is neither focused nor skipped: what cannot run here fails, or is not there',
  },
  { selector: 'CallExpression[callee.name=/^(xit|xtest|xdescribe|fit|fdescribe)$/]', message: 'a test is neither focused nor skipped' },
];
const defaultExport = {
  selector: 'ExportDefaultDeclaration',
  message: 'named exports only: one name for one thing in the whole tree',
};

/** `no-restricted-syntax` does not add up over config blocks: each block says which of them hold there. */
const restrict = (...selectors) => ({ 'no-restricted-syntax': ['error', ...selectors] });

const nestAtTheEdge = {
  'no-restricted-imports': [
    'error',
    {
      patterns: [
        {
          regex: '^@nestjs/',
          message: 'Nest stays at the edge: apps, *.module.ts, the transport strategy of etcd-api, the server of admission, libs/platform',
        },
      ],
    },
  ],
};

export default tseslint.config(
  // Compiled and generated files are the work of programs that are linted themselves.
  { ignores: ['**/dist/', '**/bundle/', '**/gen/', '**/node_modules/', '.harikube/', 'coverage/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.{js,mjs,cjs,ts}'],
    rules: {
      eqeqeq: 'error',
      'no-console': 'error',
      'no-warning-comments': ['error', { terms: ['todo', 'fixme', 'xxx'], location: 'anywhere' }],
      'prefer-const': 'error',
    },
  },
  {
    // The scripts and the launcher run before anything is compiled, and talk to a person.
    files: ['scripts/**/*.mjs', 'apps/cli/bin/*.js'],
    rules: { 'no-console': 'off' },
  },
  // A declaration beside plain JavaScript.
  { files: ['apps/cli/bin/*.d.ts'], languageOptions: { parser: tseslint.parser } },
  {
    files: ['**/src/**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      ...restrict(processEnvironment, openDataSource, defaultExport, ...focusedTest),
      ...nestAtTheEdge,
      // Waiting for what may be absent, `Promise.all(parts.map((part) => part.rest?.return()))`, is meant and would be refused.
      '@typescript-eslint/await-thenable': 'off',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'all' }],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'error',
      '@typescript-eslint/prefer-readonly': 'error',
      // `async` without `await` is the promise that a method rejects and never throws.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: [
      'apps/**/src/**/*.ts',
      'libs/platform/src/**/*.ts',
      '**/*.module.ts',
      'libs/etcd-api/src/etcd-transport*.ts',
      'libs/admission/src/admission-server.ts',
    ],
    rules: { 'no-restricted-imports': 'off' },
  },
  { files: ['libs/platform/src/env.ts'], rules: restrict(openDataSource, defaultExport) },
  { files: ['libs/datasources/src/**/*.ts'], rules: restrict(processEnvironment, defaultExport, ...focusedTest) },
);
