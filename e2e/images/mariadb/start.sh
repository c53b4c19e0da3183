#!/bin/sh
# Makes the data where there is none, then becomes the server.
set -eu

data=/var/lib/database/data
config=/usr/local/etc/mariadb.cnf
admin=$(cat /etc/database/admin/username)
superuser=$(cat /etc/database/superuser/username)

# One statement an echo: that is how the server reads them while it has no accounts yet.
accounts() {
    echo "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';"
    echo "FLUSH PRIVILEGES;"
    echo "CREATE USER '$superuser'@'%' IDENTIFIED BY '$(cat /etc/database/superuser/password)';"
    echo "GRANT ALL PRIVILEGES ON *.* TO '$superuser'@'%' WITH GRANT OPTION;"
    # What the administrator of a managed server may do: every right on databases, to be given on; no SUPER.
    echo "CREATE USER '$admin'@'%' IDENTIFIED BY '$(cat /etc/database/admin/password)';"
    echo "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES,
        EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, SHOW CREATE ROUTINE, EVENT, TRIGGER, DELETE HISTORY,
        SHOW DATABASES, CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO '$admin'@'%' WITH GRANT OPTION;"
}

if [ ! -d "$data" ]; then
    # Made beside its place and moved there, so that a start that was cut short begins again.
    rm -rf "$data.new"
    mariadb-install-db --no-defaults --datadir="$data.new" --auth-root-authentication-method=normal --skip-test-db
    accounts | mariadbd --no-defaults --datadir="$data.new" --bootstrap
    mv "$data.new" "$data"
fi

exec mariadbd --defaults-file="$config" --datadir="$data"
