// What a Node program gets through gcp-metadata and google-auth-library, by the environment alone. Prints `what<TAB>value` lines.
const gcp = require('gcp-metadata');
const { GoogleAuth } = require('google-auth-library');

const [scope, audience] = process.argv.slice(2);
const say = (what, value) => console.log(`${what}\t${value}`);

async function main() {
  if (!(await gcp.isAvailable())) throw new Error('gcp-metadata finds no metadata server');
  const auth = new GoogleAuth();
  say('project', await gcp.project('project-id'));
  say('email', await gcp.instance('service-accounts/default/email'));
  say('access', await auth.getAccessToken());
  say('scoped', await new GoogleAuth({ scopes: [scope] }).getAccessToken());
  const client = await auth.getIdTokenClient(audience);
  say('id', await client.idTokenProvider.fetchIdToken(audience));
  say('universe', await auth.getUniverseDomain());
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
