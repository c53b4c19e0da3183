#!/bin/sh
# Makes the data where there is none, then becomes the server.
set -eu

data=/var/lib/database/data
config=/usr/local/etc/postgresql/postgresql.conf
admin=$(cat /etc/database/admin/username)

if [ ! -d "$data" ]; then
    # Made beside its place and moved there, so that a start that was cut short begins again.
    rm -rf "$data.new"
    initdb --pgdata="$data.new" --no-sync --encoding=UTF8 --locale=C.UTF-8 \
        --username="$(cat /etc/database/superuser/username)" --pwfile=/etc/database/superuser/password \
        --auth-local=trust --auth-host=scram-sha-256
    # What the administrator of a managed server may do (and no superuser).
    printf "CREATE ROLE %s LOGIN CREATEDB CREATEROLE PASSWORD '%s'\n" "$admin" "$(cat /etc/database/admin/password)" \
        | postgres --single -j -D "$data.new" postgres
    mv "$data.new" "$data"
fi

exec postgres -D "$data" -c config_file="$config"
