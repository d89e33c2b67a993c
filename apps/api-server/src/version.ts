/** `/version`. */
export const VERSION_OBJECT = {
  major: '0',
  minor: '1',
  gitVersion: 'v0.1.0',
  gitCommit: '',
  gitTreeState: '',
  buildDate: '',
  goVersion: '',
  compiler: `node ${process.version}`,
  platform: `${process.platform}/${process.arch}`,
};
