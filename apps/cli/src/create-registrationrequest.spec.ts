import { describe, expect, it } from '@jest/globals';
import {
  completions,
  createRegistrationRequest,
  kubectlArguments,
  registration,
  registrationCommand,
} from './create-registrationrequest.js';

const FLAGS = {
  firstName: 'Ada',
  lastName: 'Byron',
  email: 'ada@example.com',
  phoneNumber: '+15551234567',
  country: 'HU',
  city: 'Pécs',
  address: '1 Main Street',
  postalCode: '7621',
};
const GIVEN = [
  'ada',
  ...['--first-name', 'Ada', '--last-name', 'Byron', '--email', 'ada@example.com', '--phone-number', '+15551234567'],
  ...['--country', 'HU', '--city', 'Pécs', '--address', '1 Main Street', '--postal-code', '7621'],
];

describe('kubectl create registrationrequest', () => {
  it('makes a Registration and leaves out what was not given', () => {
    expect(JSON.parse(JSON.stringify(registration('ada', FLAGS, 'Secret-123')))).toEqual({
      apiVersion: 'api.product.webshop.harikube.info/v1',
      kind: 'Registration',
      metadata: { name: 'ada' },
      spec: {
        user: { firstName: 'Ada', lastName: 'Byron', email: 'ada@example.com', phoneNumber: '+15551234567' },
        password: 'Secret-123',
        tenant: { country: 'HU', city: 'Pécs', address: '1 Main Street', postalCode: '7621' },
      },
    });
  });

  it("hands kubectl's own flags on, and only those", () => {
    const command = registrationCommand();
    command.parse([...GIVEN, '-o', 'yaml', '--as', 'eve', '--as-group', 'a', '--as-group', 'b', '--insecure-skip-tls-verify'], {
      from: 'user',
    });
    const given = ['--output=yaml', '--insecure-skip-tls-verify', '--as=eve', '--as-group=a', '--as-group=b'];
    expect(kubectlArguments(command)).toEqual(['--validate=ignore', ...given]);
  });

  it('lets kubectl check nothing that only an administrator can, unless told to', () => {
    const plain = registrationCommand().parse(GIVEN, { from: 'user' });
    expect(kubectlArguments(plain)).toEqual(['--validate=ignore']);
    const strict = registrationCommand().parse([...GIVEN, '--validate', 'strict'], { from: 'user' });
    expect(kubectlArguments(strict)).toEqual(['--validate=strict']);
  });

  it('names everything that is missing at once', async () => {
    const attempt = createRegistrationRequest(['ada', '--first-name', 'Ada', '--city', 'Pécs', '--postal-code', '1'], {});
    await expect(attempt).rejects.toThrow('--last-name, --email, --phone-number, --country, --address are needed; see --help');
  });

  it('refuses a password on the command line, where others can read it', async () => {
    await expect(createRegistrationRequest([...GIVEN, '--password', 'x'], {})).rejects.toThrow(/--password-stdin/);
  });

  it('refuses --dry-run=client, which would print the password', async () => {
    await expect(createRegistrationRequest([...GIVEN, '--dry-run', 'client'], {})).rejects.toThrow('use --dry-run=server');
  });

  it('offers flags, values and file names to a shell', () => {
    expect(completions(['ada', '--f'])).toBe('--first-name\tfirst name\n--field-manager\twho is named as the manager of the fields\n:4\n');
    expect(completions(['--dry-run', 's'])).toBe('server\n:4\n');
    expect(completions(['--kubeconfig', ''])).toBe(':0\n');
    expect(completions([''])).toBe(':4\n');
  });
});
