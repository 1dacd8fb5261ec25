package providers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// minimal is a provider file with nothing in it that could be left out.
const minimal = `name: x
title: X
methods:
  - name: key
    title: Key
    scheme: token
    fields:
      - name: key
        label: Key
        type: token
    token:
      header: Authorization
      value: Bearer {key}
`

func load(t *testing.T, files map[string]string) (*Catalog, error) {
	t.Helper()
	dir := fstest.MapFS{}
	for name, text := range files {
		dir[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Load(dir)
}

func TestBuiltInCatalog(t *testing.T) {
	t.Parallel()
	c, err := Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, p := range c.Providers() {
		for _, m := range p.Methods {
			got[p.Name] = append(got[p.Name], fmt.Sprintf("%s:%s", m.Name, m.Scheme))
		}
	}
	want := map[string][]string{
		"toggl":         {"api_token:basic", "password:basic", "session:session_cookie"},
		"clicktime":     {"token:token", "password:exchange"},
		"timelog":       {"oidc:oidc_hybrid", "personal_access_token:token"},
		"github":        {"oauth:oauth2_code"},
		"google":        {"oauth:oauth2_code"},
		"slack":         {"bot:oauth2_code", "user:oauth2_code"},
		"harvest":       {"oauth:oauth2_code", "personal_access_token:token"},
		"oidc":          {"code:oauth2_code", "hybrid:oidc_hybrid"},
		"basic":         {"basic:basic"},
		"token":         {"bearer:token", "token:token", "api_key:token"},
		"oauth2_client": {"integration:oauth2_client_credentials", "own_client:oauth2_client_credentials"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("catalog (-want +got):\n%s", diff)
	}
}

func TestDirectoryAddsAndReplaces(t *testing.T) {
	t.Parallel()
	c, err := load(t, map[string]string{
		"x.yaml":        minimal,
		"toggl.yml":     strings.ReplaceAll(strings.Replace(minimal, "name: x", "name: toggl", 1), "title: X", "title: Ours"),
		"README.md":     "not a provider",
		".hidden.yaml":  "{",
		"sub/skip.yaml": "{",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Get("x"); !ok {
		t.Error("the file of the directory is not there")
	}
	toggl, _ := c.Get("toggl")
	if toggl.Title != "Ours" || len(toggl.Methods) != 1 {
		t.Errorf("toggl was not replaced whole: %+v", toggl)
	}
	if _, ok := c.Get("clicktime"); !ok {
		t.Error("the built-in file has gone")
	}
}

// One file a line: what is changed in the minimal file, and the fault.
func TestFaultsOfAFile(t *testing.T) {
	t.Parallel()
	oauth := func(lines string) string {
		return `name: x
title: X
methods:
  - name: o
    title: O
    scheme: oauth2_code
    oauth:
      authorization_url: https://example.com/a
      token_url: https://example.com/t
` + lines
	}
	tests := map[string]struct {
		text string
		want []string
	}{
		"fine":           {minimal, nil},
		"fine oauth":     {oauth(""), nil},
		"not YAML":       {"name: [x\n", []string{"x.yaml:1: is not YAML"}},
		"empty":          {"", []string{"x.yaml: must hold one document, has 0"}},
		"two documents":  {minimal + "---\n" + minimal, []string{"x.yaml: must hold one document, has 2"}},
		"a list":         {"- name: x\n", []string{"x.yaml:1: the file must be a mapping of keys to values"}},
		"a word":         {"hello\n", []string{"the file must be a mapping"}},
		"NUL":            {minimal + "# \x00\n", []string{"x.yaml:14: has a control character"}},
		"invalid UTF-8":  {minimal + "# \xff\n", []string{"x.yaml:14: has a control character or is not UTF-8"}},
		"too large":      {minimal + strings.Repeat("# padding\n", 7000), []string{"is larger than 64 KiB"}},
		"unknown key":    {minimal + "titel: X\n", []string{`x.yaml:14: titel: is not known here; is "title" meant?`}},
		"unknown nested": {strings.Replace(minimal, "label:", "lable:", 1), []string{`x.yaml:9: methods[0].fields[0].lable: is not known here; is "label" meant?`}},
		"case counts":    {strings.Replace(minimal, "title: X", "Title: X", 1), []string{`x.yaml:2: Title: is not known here; is "title" meant?`}},
		"repeated key":   {minimal + "title: Y\n", []string{"x.yaml:14: title: is there twice"}},
		"number":         {strings.Replace(minimal, "title: X", "title: 5", 1), []string{"x.yaml:2: title: must be text (put it in quotes)"}},
		"boolean":        {strings.Replace(minimal, "title: X", "title: true", 1), []string{"x.yaml:2: title: must be text"}},
		"null":           {strings.Replace(minimal, "title: X", "title:", 1), []string{"x.yaml:2: title: must be text (put it in quotes), is empty"}},
		"text for bool":  {strings.Replace(minimal, "type: token", "type: token\n        required: \"true\"", 1), []string{"x.yaml:11: methods[0].fields[0].required: must be true or false"}},
		"text for int":   {strings.Replace(minimal, "type: token", "type: token\n        max_length: \"5\"", 1), []string{"x.yaml:11: methods[0].fields[0].max_length: must be a whole number"}},
		"float for int":  {strings.Replace(minimal, "type: token", "type: token\n        max_length: 5.0", 1), []string{"must be a whole number"}},
		"empty text":     {minimal + "website: ''\n", []string{"x.yaml:14: website: is empty; leave it out"}},
		"empty list":     {strings.Replace(minimal, "fields:", "guide: []\n    fields:", 1), []string{"x.yaml:7: methods[0].guide: is empty; leave it out"}},
		"map for list":   {strings.Replace(minimal, "fields:", "guide: {text: x}\n    fields:", 1), []string{"methods[0].guide: must be a list"}},
		"setup":          {minimal + "setup:\n  - text: Ask.\n    link: https://example.com/a\n", nil},
		"setup's link":   {minimal + "setup:\n  - text: Ask.\n    link: http://example.com/a\n", []string{"setup[0].link: must be an https URL"}},
		"setup's text":   {minimal + "setup:\n  - link: https://example.com/a\n", []string{"setup[0].text: is missing"}},
		"setup's typo":   {minimal + "setup:\n  - txet: Ask.\n", []string{`setup[0].txet: is not known here; is "text" meant?`}},
		"anchor":         {strings.Replace(minimal, "title: X", "title: &a X", 1), []string{"anchors, aliases and tags are not taken"}},
		"tag":            {strings.Replace(minimal, "title: X", "title: !!str X", 1), []string{"anchors, aliases and tags are not taken"}},
		"number as key":  {minimal + "5: x\n", []string{"x.yaml:14: has a key that is not plain text"}},
		"deep":           {minimal + "website: " + strings.Repeat("[", 50) + strings.Repeat("]", 50) + "\n", []string{"website: must be text"}},
		"name and file":  {strings.Replace(minimal, "name: x", "name: y", 1), []string{`name: must be "x", as the file's name says`}},
		"all at once": {
			"name: x\ntitle: 5\nicon: x\nmethods:\n  - name: 7\n",
			[]string{"x.yaml:2: title", "x.yaml:3: icon", "x.yaml:5: methods[0].name"},
		},
		"all at once, sense": {
			strings.NewReplacer("title: X", "title: ' '\nbase_url: http://x.example/", "type: token", "type: secret", "Bearer {key}", "Bearer {kez}").Replace(minimal),
			[]string{"x.yaml:2: title: is missing", "x.yaml:3: base_url: must be an https URL", "base_url: must not end with a slash", "x.yaml:11: methods[0].fields[0].type: must be one of", "names {kez}, which is not there"},
		},
		"settings missing":    {strings.Replace(minimal, "scheme: token", "scheme: basic", 1), []string{"methods[0]: scheme basic needs basic", "methods[0].token: is of no use to scheme basic"}},
		"settings of another": {strings.Replace(minimal, "    token:", "    basic: {username: a, password: b}\n    token:", 1), []string{"methods[0].basic: is of no use to scheme token"}},
		"no scheme":           {strings.Replace(minimal, "scheme: token", "scheme: oauth1", 1), []string{"methods[0].scheme: must be one of"}},
		"header name":         {strings.Replace(minimal, "header: Authorization", "header: 'Bad Header'", 1), []string{"methods[0].token.header: is not the name of a header"}},
		"hop header":          {strings.Replace(minimal, "header: Authorization", "header: transfer-encoding", 1), []string{"belongs to the connection"}},
		"request header":      {minimal + "request_headers: {X-Account: '{account}'}\n", []string{"request_headers.X-Account: names {account}, which methods[0] does not have"}},
		"pattern":             {strings.Replace(minimal, "type: token", "type: token\n        pattern: '('", 1), []string{"pattern: is not a regular expression"}},
		"twice recommended": {
			minimal + "  - name: key2\n    title: K\n    scheme: token\n    recommended: true\n    token: {header: X-Key, value: a}\n  - name: key3\n    title: K\n    scheme: token\n    recommended: true\n    token: {header: X-Key, value: a}\n",
			[]string{"x.yaml:22: methods[2].recommended: another method is recommended already"},
		},
		"same method twice":  {minimal + minimal[strings.Index(minimal, "  - name"):], []string{`methods[1].name: "key" is the name of a method above`}},
		"verify nowhere":     {minimal + "verify: {path: /me, account: {id: [id]}}\n", []string{"verify.path: needs a base_url to follow"}},
		"verify both":        {minimal + "base_url: https://x.example\nverify: {path: /me, url: 'https://x.example/me', account: {id: [id]}}\n", []string{"verify: needs either path or url"}},
		"verify no id":       {minimal + "base_url: https://x.example\nverify: {path: /me, account: {label: [id]}}\n", []string{"verify.account.id: needs at least one path"}},
		"bad path":           {minimal + "base_url: https://x.example\nverify: {path: /me, account: {id: ['a b']}}\n", []string{"verify.account.id[0]: \"a b\" is no path"}},
		"429 is no refusal":  {minimal + "base_url: https://x.example\nverify: {path: /me, refused: [429], account: {id: [id]}}\n", []string{"verify.refused[0]: must be a status from 400 to 499 that says no; 429 says later"}},
		"verify off":         {minimal + "base_url: https://x.example\nverify: {path: /me, account: {id: [id]}}\nverify_every: off\n", nil},
		"verify weekly":      {minimal + "base_url: https://x.example\nverify: {path: /me, account: {id: [id]}}\nverify_every: 168h\n", nil},
		"verify userinfo":    {oauth("") + "verify_every: 24h\n", nil},
		"verify nothing":     {minimal + "verify_every: 24h\n", []string{"x.yaml:14: verify_every: needs verify or resolve"}},
		"verify never":       {oauth("") + "verify_every: 0h\n", []string{"verify_every: must be whole hours as in 24h, or off"}},
		"verify minutely":    {oauth("") + "verify_every: 1m\n", []string{"verify_every: must be whole hours"}},
		"verify by number":   {oauth("") + "verify_every: 24\n", []string{"verify_every: must be text"}},
		"verify when false":  {oauth("") + "verify_every: false\n", []string{"verify_every: must be text"}},
		"ten years and more": {oauth("      default_expires_in: 315360001\n"), []string{"default_expires_in: must be a number of seconds, ten years at most"}},
		"before it began":    {oauth("      default_expires_in: -1\n"), []string{"default_expires_in: must be a number of seconds"}},
		"resolve anywhere":   {minimal + "resolve: {url: 'https://x.example/r', field: [url]}\n", []string{"resolve: needs allowed_hosts"}},
		"all of .com":        {minimal + "allowed_hosts: ['*.com']\n", []string{"allowed_hosts[0]: must be a host"}},
		"fields of oauth":    {oauth("    fields: [{name: a, label: A, type: text}]\n"), []string{"asks for nothing: the provider does"}},
		"own parameter":      {oauth("      authorize_params: {state: x}\n"), []string{"authorize_params.state: is a parameter that the flow sets itself"}},
		"hmac":               {oauth("      signing_algorithms: [HS256]\n"), []string{"signing_algorithms[0]: must be one of"}},
		"secret in URL":      {oauth("      revocation: {method: POST, auth: token, url: 'https://x.example/{access_token}'}\n"), []string{"names {access_token}, which is not there"}},
		"hybrid no openid":   {strings.Replace(oauth("      scopes: [tlp]\n"), "oauth2_code", "oidc_hybrid", 1), []string{"must have openid for the hybrid flow"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, map[string]string{"x.yaml": tt.text})
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var ce *CatalogError
			if !errors.As(err, &ce) {
				t.Fatalf("Load: %v, want a CatalogError", err)
			}
			if len(ce.Faults) != len(tt.want) {
				t.Errorf("%d faults, want %d:\n%v", len(ce.Faults), len(tt.want), err)
			}
			for _, want := range tt.want {
				if !slices.ContainsFunc(ce.Faults, func(f FileFault) bool { return strings.Contains(f.String(), want) }) {
					t.Errorf("no fault %q in:\n%v", want, err)
				}
			}
		})
	}
}

func TestFaultsOfAllFilesAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, map[string]string{"x.yaml": "{", "y.yaml": "name: y\n", "z.yml": minimal, "z.yaml": minimal})
	var ce *CatalogError
	if !errors.As(err, &ce) {
		t.Fatalf("Load: %v", err)
	}
	for _, want := range []string{"x.yaml", "y.yaml", "z.yaml", "z.yml:1: name: z.yaml has the same provider"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

func FuzzDecodeFile(f *testing.F) {
	for _, data := range builtInFiles(f) {
		f.Add(data)
	}
	f.Add([]byte(minimal))
	f.Add([]byte(minimal + "base_url: https://example.com/a b\nwebsite: HTTPS://example.com\n"))
	f.Add([]byte(minimal + "base_url: https://example.com\nverify: {path: '/a b', account: {id: [a.b[c=d].e+f]}}\n"))
	f.Add([]byte("a: &a [*a, *a]\nb: *a\n"))
	f.Add([]byte("<<: {a: b}\n? [x]\n: y\n"))
	f.Add([]byte("name: |\n  x\n\t- y\n"))
	schema := compileSchema(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		p, file := parse("x.yaml", data)
		for _, fault := range file.Faults() {
			if fault.Problem == "" || fault.File != "x.yaml" || fault.Line < 0 {
				t.Errorf("fault %+v", fault)
			}
		}
		if len(file.Faults()) > 0 {
			return
		}
		// What is taken can be used, and an editor would have said the same.
		for i := range p.Methods {
			if schemeOf(p.Methods[i].Scheme) == nil {
				t.Error("a method without a scheme")
			}
		}
		if err := schema.Validate(asJSON(t, data)); err != nil {
			t.Errorf("the decoder takes what the schema refuses: %v", err)
		}
	})
}
