import { describe, expect, it } from '@jest/globals';
import { fieldSelectorProblem } from './field-selector.js';

describe('fieldSelectorProblem', () => {
  it.each([
    'metadata.name=web',
    'metadata.name==web,metadata.namespace!=kube-system',
    'spec.toAddress=jane@example.com',
    'status.phase=',
    'spec.text=a\\=b\\,c\\\\',
    'spec.text=a\\\\,metadata.name=b',
    'spec.text=a\\,',
    'spec.text=zwei Wörter',
  ])('takes %j', (text) => {
    expect(fieldSelectorProblem(text)).toBeNull();
  });

  it.each([
    ['metadata.name', '"metadata.name" compares nothing: write FIELD=VALUE or FIELD!=VALUE'],
    ['metadata.name>1', 'compares nothing'],
    ['a=b,c', '"c" compares nothing'],
    ['=web', '"" is no path of a field'],
    ['meta data=web', '"meta data" is no path of a field'],
    ['metadata.name in (a', 'compares nothing'],
    ['spec.text=a=b', '"a=b" has a sign of its own meaning: write \\= for ='],
    ['spec.text=a\\b', '"a\\b" has a sign of its own meaning'],
    ['spec.text=a\\', 'has a sign of its own meaning'],
  ])('says what is wrong with %j', (text, problem) => {
    expect(fieldSelectorProblem(text)).toContain(problem);
  });
});
