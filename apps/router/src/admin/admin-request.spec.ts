import { describe, expect, it } from '@jest/globals';
import { abandonRequest, AdminRequestError, planDocuments } from './admin-request.js';

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof AdminRequestError) return `${error.status}: ${error.message}`;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('planDocuments', () => {
  it('takes named documents as JSON', () => {
    const documents = [
      { name: 'b', text: 'backends: []' },
      { name: 'a', text: '' },
    ];
    expect(planDocuments('application/json; charset=utf-8', JSON.stringify({ documents }))).toEqual(documents);
  });

  it('takes a text of YAML for one document', () => {
    const text = 'backends:\n- name: a--- b\n';
    for (const type of ['application/yaml', '']) expect(planDocuments(type, text)).toEqual([{ name: 'document 1', text }]);
    expect(planDocuments('', '')).toEqual([{ name: 'document 1', text: '' }]);
  });

  it('takes apart several documents, whose lines keep their numbers', () => {
    const documents = planDocuments('text/yaml', '# all\n---\none: 1\n--- # second\ntwo: 2\n---\n# nothing\n---\nthree: 3\n---\n');
    expect(documents.map(({ name }) => name)).toEqual(['document 1', 'document 2', 'document 3']);
    expect(documents.map(({ text }) => text.split('\n').findIndex((line) => /^\w/.test(line)) + 1)).toEqual([3, 5, 9]);
  });

  it('names more than nine so that their order is that of their names', () => {
    const names = planDocuments('text/yaml', Array.from({ length: 11 }, (_, index) => `n: ${index}\n`).join('---\n')).map(
      ({ name }) => name,
    );
    expect(names).toEqual(names.toSorted());
    expect([names[0], names[10]]).toEqual(['document 01', 'document 11']);
  });

  it.each([
    ['{', '400: the body is not JSON'],
    ['[]', '400: "documents" must be a list'],
    ['{"documents": "backends: []"}', '400: "documents" must be a list'],
    ['{"documents": [{"name": "a"}]}', '400: "documents[0]" must have "name" and "text", both texts'],
    ['{"documents": [{"name": "a", "text": "b"}, null]}', '400: "documents[1]" must have'],
  ])('refuses %s', (body, reason) => {
    expect(refusal(() => planDocuments('application/json', body))).toContain(reason);
  });
});

describe('abandonRequest', () => {
  it('takes a backend and a number of keys, or null for a number that cannot be known', () => {
    expect(abandonRequest('{"backend": "user", "confirm": 0}')).toEqual({ backend: 'user', confirm: 0 });
    expect(abandonRequest('{"backend": "user", "confirm": null}')).toEqual({ backend: 'user', confirm: null });
  });

  it.each([
    ['', 'the body is not JSON'],
    ['null', '"backend" must be the name of a backend'],
    ['{"confirm": 1}', '"backend" must be the name of a backend'],
    ['{"backend": "user"}', '"confirm" must be the number of keys'],
    ['{"backend": "user", "confirm": "1"}', '"confirm" must be the number of keys'],
    ['{"backend": "user", "confirm": -1}', '"confirm" must be the number of keys'],
    ['{"backend": "user", "confirm": 1.5}', '"confirm" must be the number of keys'],
  ])('refuses %j', (body, reason) => {
    expect(refusal(() => abandonRequest(body))).toContain(`400: ${reason}`);
  });
});
