package e2e

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// loadCompose reads docker-compose.yml as docker compose would, with nothing
// set in the environment. Unknown keys are errors.
func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "docker-compose.yml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: file, Content: content}},
		Environment: types.Mapping{},
	})
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return project
}

// settingNames are the variables that the broker documents.
func settingNames() []string {
	names := []string{
		"LISTEN", "PUBLIC_URL", "DATA_DIR", "DATABASE_URL", "KEYSET", "API_KEY",
		"PROVIDERS_DIR", "OUTBOUND_ALLOW", "LOG_LEVEL", "LOG_FORMAT",
		// Secrets are taken from files too.
		"DATABASE_URL_FILE", "KEYSET_FILE", "API_KEY_FILE",
	}
	for i, n := range names {
		names[i] = "CLAVIGER_" + n
	}
	return names
}

func TestComposeKeepsItsPromises(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	broker, ok := project.Services["broker"]
	if !ok {
		t.Fatal("there is no service broker")
	}
	database, ok := project.Services["postgres"]
	if !ok {
		t.Fatal("there is no service postgres")
	}

	for name, svc := range project.Services {
		user, _, _ := strings.Cut(svc.User, ":")
		if user == "" || user == "0" || user == "root" {
			t.Errorf("%s runs as %q", name, svc.User)
		}
		if svc.Privileged || !slices.Contains(svc.CapDrop, "ALL") || len(svc.CapAdd) > 0 ||
			!slices.Contains(svc.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s keeps privileges that it does not need", name)
		}
		for _, port := range svc.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", name, port.Published, port.HostIP)
			}
		}
		checkSecrets(t, project, svc)
	}
	if !broker.ReadOnly {
		t.Error("the broker's root file system can be written to")
	}
	if !slices.ContainsFunc(broker.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Type == types.VolumeTypeVolume && v.Source != "" && v.Target == "/data" && !v.ReadOnly
	}) {
		t.Error("the broker's data directory, where its spool is, is no named volume that it can write to")
	}
	if len(database.Ports) > 0 {
		t.Error("the database is published on the host")
	}
	if database.HealthCheck == nil || database.HealthCheck.Disable || len(database.HealthCheck.Test) == 0 {
		t.Error("the database has no health check")
	}
	if got := broker.DependsOn["postgres"].Condition; got != types.ServiceConditionHealthy {
		t.Errorf("the broker waits for the database to be %q", got)
	}
	if !slices.ContainsFunc(database.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Type == types.VolumeTypeVolume && v.Source != "" && strings.HasPrefix(v.Target, "/var/lib/postgresql")
	}) {
		t.Error("the database is not kept in a named volume")
	}
	for network := range database.Networks {
		if !project.Networks[network].Internal {
			t.Errorf("the database can reach the outside by the network %s", network)
		}
	}
}

// checkSecrets sees that each secret comes by file, from a file that git does
// not see, and that nothing secret stands in the environment.
func checkSecrets(t *testing.T, project *types.Project, svc types.ServiceConfig) {
	t.Helper()
	var mounted []string
	for _, s := range svc.Secrets {
		source := project.Secrets[s.Source]
		if rel, err := filepath.Rel(project.WorkingDir, source.File); err != nil || !strings.HasPrefix(rel, "claviger-data"+string(filepath.Separator)) {
			t.Errorf("%s: the secret %s comes from %q, which git does not ignore", svc.Name, s.Source, source.File)
		}
		mounted = append(mounted, "/run/secrets/"+s.Source)
	}
	var used []string
	secret := regexp.MustCompile(`KEY|PASSWORD|SECRET|TOKEN|DATABASE_URL`)
	for name, value := range svc.Environment {
		if strings.HasPrefix(name, "CLAVIGER_") && !slices.Contains(settingNames(), name) {
			t.Errorf("%s: the broker knows no %s", svc.Name, name)
		}
		switch {
		case !secret.MatchString(name):
		case strings.HasSuffix(name, "_FILE") && value != nil:
			used = append(used, *value)
		default:
			t.Errorf("%s: %s is a secret and not given as a file", svc.Name, name)
		}
	}
	slices.Sort(mounted)
	slices.Sort(used)
	if diff := cmp.Diff(mounted, used); diff != "" {
		t.Errorf("%s: secrets (-mounted +used):\n%s", svc.Name, diff)
	}
}

// dockerfileStage is the instructions of one stage of a Dockerfile, with
// continued lines joined.
func dockerfileStages(t *testing.T) [][]string {
	t.Helper()
	content, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var stages [][]string
	joined := strings.ReplaceAll(string(content), "\\\n", " ")
	for line := range strings.Lines(joined) {
		line = strings.Join(strings.Fields(line), " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "FROM "):
			stages = append(stages, nil)
		case len(stages) == 0:
			t.Fatalf("Dockerfile: %q stands before the first FROM", line)
		}
		stages[len(stages)-1] = append(stages[len(stages)-1], line)
	}
	return stages
}

func TestDockerfileKeepsItsPromises(t *testing.T) {
	t.Parallel()
	stages := dockerfileStages(t)
	if len(stages) < 2 {
		t.Fatal("the Dockerfile has one stage: the image would hold the compiler")
	}
	build, image := strings.Join(stages[0], "\n"), stages[len(stages)-1]
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "main.version=", "main.commit=", "./cmd/server"} {
		if !strings.Contains(build, want) {
			t.Errorf("the build lacks %s", want)
		}
	}
	goMod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindSubmatch(goMod)
	if version == nil || !strings.Contains(build, "golang:"+string(version[1])) {
		t.Errorf("the build does not use the Go of go.mod, %s", version)
	}
	if !regexp.MustCompile(`^FROM (scratch|gcr\.io/distroless/static\S*)$`).MatchString(image[0]) {
		t.Errorf("the image is built on more than it needs: %s", image[0])
	}
	user := ""
	for _, line := range image {
		switch name, value, _ := strings.Cut(line, " "); name {
		case "USER":
			user, _, _ = strings.Cut(value, ":")
		case "RUN":
			t.Errorf("there is no shell in the image for %q", line)
		case "ENV", "ARG":
			for _, s := range settingNames() {
				if strings.Contains(line, s+"=") && regexp.MustCompile(`KEY|DATABASE_URL`).MatchString(s) {
					t.Errorf("%s is baked into the image", s)
				}
			}
		}
	}
	if !regexp.MustCompile(`^[1-9]\d*$`).MatchString(user) {
		t.Errorf("the image runs as %q, want a number that is not root's", user)
	}
	for _, want := range []string{"EXPOSE 8080", "VOLUME /data"} {
		if !slices.Contains(image, want) {
			t.Errorf("the image lacks %s", want)
		}
	}
	ignored, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".*", "/claviger-data", "**/node_modules"} {
		if !slices.Contains(strings.Split(string(ignored), "\n"), want) {
			t.Errorf(".dockerignore lets %s into the build", want)
		}
	}
}

// TestComposeStartsTheBroker runs the services of the compose file as it would,
// on the environment that it gives them, with the database, the files and the
// address of this test put in place of the containers' own.
func TestComposeStartsTheBroker(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		keyset, err := claviger(t, nil, "key", "generate").Output()
		if err != nil {
			t.Fatalf("claviger key generate: %v", err)
		}
		files := map[string]string{
			"api_key":      "compose-" + rand.Text() + rand.Text(),
			"database_url": newDatabase(t),
			"keyset":       string(keyset),
		}
		services := loadCompose(t).Services

		if got := services["broker"].DependsOn["migrate"].Condition; got != types.ServiceConditionCompletedSuccessfully {
			t.Errorf("the broker waits for the schema to be %q", got)
		}
		migrate := claviger(t, composeSettings(t, services["migrate"], files), services["migrate"].Command...)
		if out, err := migrate.CombinedOutput(); err != nil {
			t.Fatalf("claviger %v: %v\n%s", services["migrate"].Command, err, out)
		}
		b := startBrokerCommand(t, services["broker"].Command, composeSettings(t, services["broker"], files)...)

		getJSON(t, b.url+"/v1/connections", files["api_key"], http.StatusOK, nil)
		getJSON(t, b.url+"/v1/connections", files["api_key"]+"x", http.StatusUnauthorized, nil)
		used := secrets{
			"the API key":        files["api_key"],
			"the database's URL": files["database_url"],
			"the keyset":         strings.TrimSpace(files["keyset"]),
		}
		if p := password(t, files["database_url"]); p != "" { // a server of the developer's own may want none
			used["the database's password"] = p
		}
		used.refuteLeaks(t, "the log", b.log(t))
	})
}

// composeSettings is a service's environment with each secret in a file of
// this test, readable as scripts/compose-secrets leaves them. The public URL
// is left to startBroker, which chooses the port.
func composeSettings(t *testing.T, svc types.ServiceConfig, files map[string]string) []string {
	t.Helper()
	dir := t.TempDir()
	var settings []string
	for name, value := range svc.Environment {
		switch {
		case value == nil:
			t.Fatalf("%s: %s has no value", svc.Name, name)
		case name == "CLAVIGER_PUBLIC_URL":
		case strings.HasPrefix(*value, "/run/secrets/"):
			content := files[filepath.Base(*value)]
			if content == "" {
				t.Fatalf("%s: nobody makes the secret %s", svc.Name, *value)
			}
			file := filepath.Join(dir, filepath.Base(*value))
			if err := os.WriteFile(file, []byte(content), 0o444); err != nil {
				t.Fatal(err)
			}
			settings = append(settings, name+"="+file)
		default:
			settings = append(settings, name+"="+*value)
		}
	}
	return settings
}

func password(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := u.User.Password()
	return p
}
