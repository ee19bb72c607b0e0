"""A real WordPress on loopback: Debian's WordPress, PHP's own web server and a MariaDB, all in one folder.

Nothing outlives `WordPress` used as a context manager, nothing is reached but 127.0.0.1.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

NEEDED = (
    "apt install php-cli php-mysql mariadb-server-core mariadb-client-core wordpress (without recommended packages)"
)
CONFIG = """<?php
define('DB_NAME', 'wp'); define('DB_USER', 'root'); define('DB_PASSWORD', ''); define('DB_HOST', 'localhost:%(socket)s');
define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', '');
define('WP_HTTP_BLOCK_EXTERNAL', true); define('DISABLE_WP_CRON', true); define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_DEBUG', false); define('WP_DEBUG_DISPLAY', false);
foreach (['AUTH_KEY', 'SECURE_AUTH_KEY', 'LOGGED_IN_KEY', 'NONCE_KEY'] as $name) { define($name, md5($name . '%(socket)s')); }
$_SERVER += ['HTTP_HOST' => '127.0.0.1', 'REQUEST_METHOD' => 'GET'];
$_SERVER['HTTPS'] = 'on';  // as behind a proxy that ends TLS: WooCommerce takes Basic over https alone
$table_prefix = 'wp_';
if (!defined('ABSPATH')) { define('ABSPATH', __DIR__ . '/'); }
require_once ABSPATH . 'wp-settings.php';
"""
QUIET = """<?php
add_filter('pre_wp_mail', function ($null, $mail) {
    file_put_contents(WP_CONTENT_DIR . '/mails.jsonl', json_encode($mail) . "\\n", FILE_APPEND); return true; }, 10, 2);
"""
ROUTER = """<?php
// What a rewriting web server does: a file that is there, else index.php; `strip` plays a host that eats the header.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (is_file(__DIR__ . '/strip')) {
    unset($_SERVER['HTTP_AUTHORIZATION'], $_SERVER['PHP_AUTH_USER'], $_SERVER['PHP_AUTH_PW']);
}
$root = __DIR__ . '/www';
$file = realpath($root . $path);
if ($file && is_file($file) && strpos($file, $root) === 0) {
    if (substr($file, -4) !== '.php') { return false; }
    $_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = $path; chdir(dirname($file)); require $file; return true;
}
$site = $root . '%(prefix)s';
if (is_file(__DIR__ . '/plain') && $path !== '%(prefix)s/') {
    http_response_code(404); echo '<html><body><h1>Not Found</h1></body></html>'; return true;
}
$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = '%(prefix)s/index.php';
chdir($site); require $site . '/index.php';
"""
INSTALL = """
define('WP_INSTALLING', true);
require '%(site)s/wp-load.php'; require ABSPATH . 'wp-admin/includes/upgrade.php';
wp_install('Shop', 'admin', 'admin@example.test', true, '', 'SECRET-admin-password');
update_option('siteurl', '%(url)s'); update_option('home', '%(url)s');
update_option('permalink_structure', '/%%postname%%/'); flush_rewrite_rules(false);
echo 'installed';
"""


class WordPress:
    """A site in `folder`; `prefix` is the path that it lives under, such as /shop."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self.folder, self.prefix = folder, prefix
        self.www = folder / "www"
        self.site = self.www / prefix.strip("/")
        self._running: list[subprocess.Popen[bytes]] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{prefix}"

    def __enter__(self) -> WordPress:
        try:
            self._unpack()
            self._database()
            said = self.php(INSTALL % {"site": self.site, "url": self.url})
            assert said.endswith("installed"), said
            self._serve()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        for one in reversed(self._running):
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGTERM)  # PHP's workers, too
        for one in self._running:
            try:
                one.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(one.pid, signal.SIGKILL)
                one.wait()
        self._running.clear()

    # ---- the parts --------------------------------------------------------------------------------------

    def _unpack(self) -> None:
        given = Path(os.environ.get("WORDPRESS") or "/usr/share/wordpress")
        if not given.is_dir():
            subprocess.run(
                ["apt-get", "download", "-qq", "wordpress"], cwd=self.folder, check=True, capture_output=True
            )
            (package,) = self.folder.glob("wordpress_*.deb")
            subprocess.run(["dpkg-deb", "-x", package, self.folder / "deb"], check=True)
            given = self.folder / "deb/usr/share/wordpress"
        # Debian's parts of other packages are links; the REST API needs none of them.
        shutil.copytree(given, self.site, symlinks=True, ignore=shutil.ignore_patterns("wp-config.php", ".htaccess"))
        places = {"socket": self.folder / "sql", "prefix": self.prefix}
        (self.site / "wp-config.php").write_text(CONFIG % places)
        for name in ("mu-plugins", "plugins"):
            (self.site / "wp-content" / name).mkdir(exist_ok=True)
        (self.site / "wp-content/mu-plugins/quiet.php").write_text(QUIET)
        (self.folder / "router.php").write_text(ROUTER % places)

    def _database(self) -> None:
        data, common = self.folder / "data", ["--no-defaults", f"--datadir={self.folder / 'data'}"]
        data.mkdir()
        root = ["--user=root"] if os.geteuid() == 0 else []
        how = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(["mariadb-install-db", *common, *root, *how], check=True, capture_output=True)
        quick = ["--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"]
        self._start(["mariadbd", *common, *root, *quick, f"--socket={self.folder / 'sql'}"], "sql.log")
        connect = f"@new mysqli('localhost', 'root', '', '', 0, '{self.folder / 'sql'}')"
        self._until(lambda: self.php(f"try {{ $db = {connect}; $db->query('CREATE DATABASE wp'); echo 'ok'; }} "
                                     "catch (Throwable $e) { echo $e->getMessage(); }") == "ok")  # fmt: skip

    def _serve(self) -> None:
        more = {**os.environ, "PHP_CLI_SERVER_WORKERS": "4"}
        self._start(["php", "-S", f"127.0.0.1:{self.port}", "-t", str(self.www), str(self.folder / "router.php")],
                    "php.log", env=more)  # fmt: skip

        def answers() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                return False
            return True

        self._until(answers)

    def _start(self, command: Sequence[str], log: str, **more: Any) -> None:
        with (self.folder / log).open("wb") as out:
            self._running.append(subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder,
                                                  start_new_session=True, **more))  # fmt: skip

    def _until(self, ready: Any) -> None:
        end = time.monotonic() + 60
        while not ready():
            assert time.monotonic() < end, "it does not start: " + str([*self.folder.glob("*.log")])
            assert all(one.poll() is None for one in self._running), "it ended by itself"
            time.sleep(0.2)  # another program's start; nothing of ours is waited for

    # ---- what tests do to it ----------------------------------------------------------------------------

    def php(self, code: str) -> str:
        done = subprocess.run(["php", "-r", code], capture_output=True, text=True, check=False, timeout=300)
        return (done.stdout + done.stderr).strip()

    def wp(self, code: str) -> Any:
        """Run PHP inside WordPress; what it returns."""
        load = f"require '{self.site}/wp-load.php'; require_once ABSPATH . 'wp-admin/includes/plugin.php';"
        said = self.php(f'{load} echo "\\n--8<--" . json_encode((function () {{ {code} }})());')
        assert "--8<--" in said, said
        return json.loads(said.rpartition("--8<--")[2])

    def plugin(self, source: Path) -> str:
        """Put a plugin there, a folder or a ZIP, and switch it on; its version."""
        plugins = self.site / "wp-content/plugins"
        if source.is_dir():
            shutil.copytree(source, plugins / source.name)
            folder = source.name
        else:
            with zipfile.ZipFile(source) as packed:
                packed.extractall(plugins)
                folder = packed.namelist()[0].partition("/")[0]
        found = self.wp(f"return array_keys(get_plugins('/{folder}'));")
        assert found, f"{source} holds no plugin of WordPress"
        wrong = self.wp(f"$e = activate_plugin('{folder}/{found[0]}'); return $e ? $e->get_error_message() : '';")
        assert not wrong, wrong
        return str(self.wp(f"return get_plugin_data(WP_PLUGIN_DIR . '/{folder}/{found[0]}')['Version'];"))

    def must_use(self, name: str, code: str) -> Path:
        """A small broken plugin, as shops have them."""
        path = self.site / "wp-content/mu-plugins" / f"{name}.php"
        path.write_text(code)
        return path
