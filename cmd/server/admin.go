package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/claviger/claviger/internal/vault"
)

// firstAdminName is what an admin is called whom nobody has named.
const firstAdminName = "Owner"

// adminCommand is `claviger admin invite|list|remove|restore`.
func adminCommand(ctx context.Context, p *process, args []string) error {
	verb, rest := verbOf(args)
	fs := flag.NewFlagSet("admin "+verb, flag.ContinueOnError)
	role := fs.String("role", string(vault.RoleOwner), "viewer, operator or owner")
	name := fs.String("name", firstAdminName, "what to call the admin")
	again := fs.String("admin", "", "id of an admin who is there, for another link")
	life := fs.Duration("ttl", vault.InviteLife, "how long the link works, at most 168h")
	b, err := p.open(ctx, fs, rest)
	if err != nil {
		return err
	}
	defer b.close(ctx)
	env, err := b.vault.EnsureEnvironment(ctx, vault.DefaultEnvironment)
	if err != nil {
		return err
	}
	caller := vault.System("cli", env.ID)
	switch verb {
	case "invite":
		return b.invite(ctx, p, caller, *again, vault.NewAdmin{Name: *name, Role: vault.Role(*role)}, *life)
	case "list":
		return listAdmins(ctx, p, b, caller)
	case "remove", "restore":
		if fs.NArg() != 1 {
			return fmt.Errorf("admin %s wants the id of an admin, as `claviger admin list` shows it", verb)
		}
		if verb == "remove" {
			return b.vault.RemoveAdmin(ctx, caller, fs.Arg(0))
		}
		return b.vault.RestoreAdmin(ctx, caller, fs.Arg(0))
	}
	return errors.New("admin wants one of: invite, list, remove ID, restore ID")
}

// invite prints a link, for a new admin or for one who is there.
func (b *broker) invite(ctx context.Context, p *process, caller vault.Caller, again string, n vault.NewAdmin, life time.Duration) error {
	var invite vault.Invite
	var err error
	if again != "" {
		invite, err = b.vault.InviteAgain(ctx, caller, again, life)
	} else {
		invite, err = b.vault.InviteAdmin(ctx, caller, n, life)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "%s, %s (%s). The link works once, until %s:\n",
		invite.Admin.ID, invite.Admin.Name, invite.Admin.Role, invite.ExpiresAt.Format(time.RFC3339))
	_, err = fmt.Fprintln(p.stdout, b.linkOf(invite))
	return err
}

// linkOf is where an invited admin signs in.
func (b *broker) linkOf(i vault.Invite) string {
	return b.cfg.PublicURL.String() + "/admin/link/" + i.Token.Reveal()
}

func listAdmins(ctx context.Context, p *process, b *broker, caller vault.Caller) error {
	page := vault.Page{Limit: 200}
	for {
		admins, err := b.vault.Admins(ctx, caller, page)
		if err != nil {
			return err
		}
		for _, a := range admins {
			fmt.Fprintf(p.stdout, "%s\t%s\t%s\t%s\t%s\n", a.ID, a.Name, a.Role, adminOrigin(&a), adminState(&a))
			page.Cursor = a.ID
		}
		if len(admins) < page.Limit {
			return nil
		}
	}
}

func adminOrigin(a *vault.Admin) string {
	if a.FromProvider() {
		return a.Issuer
	}
	return "by link"
}

func adminState(a *vault.Admin) string {
	switch {
	case a.Removed():
		return "removed " + a.RemovedAt.Format(time.RFC3339)
	case a.LastSignedInAt.IsZero():
		return "never signed in"
	}
	return "signed in " + a.LastSignedInAt.Format(time.RFC3339)
}
