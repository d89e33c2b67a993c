import { describe, expect, it } from '@jest/globals';
import { anchors, codeCells, codeSpans, fencedBlocks, links, tableRows } from './markdown.js';

const PAGE = `# A page: its \`title\`

[one](one.md#there) and \`[no](link.md)\`, ![two](two.png).

\`\`\`sh
# [three](three.md)
\`\`\`

| Message | Means |
| ------- | ----- |
| \`a …\`   | b     |
| \`a\` b   | c     |
`;

describe('a page of Markdown', () => {
  it('has blocks with their language and line', () => {
    expect(fencedBlocks(PAGE)).toEqual([{ language: 'sh', text: '# [three](three.md)', line: 6 }]);
    expect(() => fencedBlocks('```sh\na')).toThrow('line 2 has no end');
  });

  it('has links outside of code', () => {
    expect(links(PAGE)).toEqual([
      { target: 'one.md#there', line: 3 },
      { target: 'two.png', line: 3 },
    ]);
  });

  it('has anchors of its headings', () => {
    expect(anchors(PAGE)).toEqual(['a-page-its-title']);
  });

  it('has rows of tables', () => {
    expect(tableRows(PAGE).map(({ cells }) => cells)).toEqual([
      ['Message', 'Means'],
      ['`a …`', 'b'],
      ['`a` b', 'c'],
    ]);
  });

  it('has code spans', () => {
    expect(codeSpans(PAGE).map(({ target }) => target)).toEqual(['title', '[no](link.md)', 'a …', 'a']);
  });

  it('has cells that are code and nothing else', () => {
    expect(codeCells(PAGE)).toEqual([{ target: 'a …', line: 11 }]);
  });
});
