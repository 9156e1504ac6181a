"""The public names, policed: none goes, none comes, and none changes its kind by accident.

Whoever adds a name on purpose adds it here, in the README and in the sample for the type checker.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import pkgutil
import types

import pytest

import tiny_gnupg
from tiny_gnupg import GnuPG, GnuPGError, errors, results

PACKAGE = [
    "AgentUnavailable",
    "AmbiguousKey",
    "BadPassphrase",
    "BadSignature",
    "BinaryNotFound",
    "Capability",
    "Certification",
    "CommandFailed",
    "CommandResult",
    "Decryption",
    "DecryptionFailed",
    "ExpiredKeySignature",
    "ExpiredSignature",
    "GnuPG",
    "GnuPGError",
    "GnuPGTimeout",
    "HashAlgorithm",
    "HomeUnusable",
    "MemoryExhausted",
    "ImportFailed",
    "ImportResult",
    "Key",
    "KeyNotFound",
    "KeyserverError",
    "KeyserverMismatch",
    "NetworkError",
    "NoSecretKey",
    "NotOnKeyserver",
    "NotOpenPGP",
    "NotSigned",
    "NotText",
    "OutputTooLarge",
    "OwnerTrust",
    "Packet",
    "Plaintext",
    "PublicKeyAlgorithm",
    "RevokedKeySignature",
    "Signature",
    "SignatureError",
    "SignatureStatus",
    "Subkey",
    "SymmetricAlgorithm",
    "TorUnavailable",
    "UnsupportedByGnuPG",
    "UnusableKey",
    "UserID",
    "Validity",
    "Verification",
    "WrongSigner",
    "__version__",
    "run",
]

AWAITED = [
    "aclose",
    "add_adsk",
    "add_subkey",
    "add_subkeys",
    "add_uid",
    "agent_passphrase",
    "auto_decrypt",
    "auto_encrypt",
    "auto_verify",
    "backup",
    "certify",
    "change_passphrase",
    "decrypt",
    "decrypt_file",
    "decrypt_verify",
    "decrypt_verify_file",
    "delete",
    "delete_subkey",
    "encrypt",
    "encrypt_file",
    "encrypt_symmetric",
    "encrypt_symmetric_file",
    "ensure_key",
    "export",
    "export_subkeys",
    "file_export",
    "file_import",
    "gen_key",
    "get",
    "key_email",
    "key_fingerprint",
    "key_trust",
    "keys",
    "list_keys",
    "list_packets",
    "network_export",
    "network_import",
    "own",
    "packet_fingerprint",
    "packets",
    "post",
    "raw_api_export",
    "raw_api_verify",
    "raw_list_keys",
    "raw_packets",
    "raw_search",
    "read_output",
    "refresh",
    "reset_daemon",
    "restore",
    "revoke",
    "revoke_subkey",
    "revoke_uid",
    "rotate",
    "run_command",
    "scan",
    "search",
    "set_expire",
    "set_fingerprint",
    "sign",
    "sign_file",
    "text_export",
    "text_import",
    "trust",
    "unlock",
    "verify",
    "verify_file",
    "verify_stream",
    "wkd_import",
]
PLAIN = [
    "command",
    "encode_inputs",
    "format_homedir",
    "format_list_keys",
    "set_base_command",
    "set_home_permissions",
    "set_homedir",
    "set_network_variables",
    "shell_command",
    "network_get",
    "network_post",
    "encrypt_many",
    "encrypt_stream",
    "sign_stream",
    "decrypt_stream",
    "decrypt_many",
    "verify_many",
]
PROPERTIES = [
    "Connector",
    "Session",
    "executable",
    "features",
    "gpg_version",
    "home",
    "keyserver",
    "keyserver_export_api",
    "keyserver_verify_api",
    "options",
    "port",
    "searchserver",
    "tor_port",
]
ATTRIBUTES = [
    "email",
    "fingerprint",
    "max_output",
    "passphrase",
    "username",
]

#: What each error is beside a GnuPGError, where a builtin is true of it.
BUILTINS = {
    "KeyNotFound": KeyError,
    "AmbiguousKey": LookupError,
    "NoSecretKey": LookupError,
    "NotOpenPGP": TypeError,
    "ImportFailed": ValueError,
    "CommandFailed": importlib.import_module("subprocess").CalledProcessError,
    "GnuPGTimeout": TimeoutError,
    "OutputTooLarge": ValueError,
    "NotText": ValueError,
    "HomeUnusable": PermissionError,
    "BinaryNotFound": FileNotFoundError,
    "NetworkError": ConnectionError,
    "TorUnavailable": ConnectionError,
    "KeyserverError": ConnectionError,
    "NotOnKeyserver": FileNotFoundError,
    "KeyserverMismatch": ValueError,
}
#: Those of which none is: ``except OSError`` around a file must not swallow a forgery.
NO_BUILTIN = {
    *("AgentUnavailable", "BadPassphrase", "DecryptionFailed", "MemoryExhausted"),
    *("UnsupportedByGnuPG", "UnusableKey"),
    *("SignatureError", "BadSignature", "NotSigned", "WrongSigner"),
    *("ExpiredSignature", "ExpiredKeySignature", "RevokedKeySignature"),
}

#: Positional arguments and their defaults, as 0.5.2 had them.
FROM_0_5_2 = {
    "__init__": "self, username='', email='', passphrase='', torify=False",
    "encrypt": "self, message='', uid='', sign=True, local_user=''",
    "decrypt": "self, message",
    "sign": "self, target='', local_user=''",
    "verify": "self, message='', signature=None",
    "list_keys": "self, uid='', secret=False",
    "raw_list_keys": "self, uid='', secret=False",
    "format_list_keys": "self, text, secret=False",
    "delete": "self, uid=''",
    "trust": "self, uid='', level=5",
    "file_import": "self, path, mode='r'",
    "file_export": "self, path, uid='', mode='w+'",
    "text_export": "self, uid=''",
    "network_import": "self, uid",
    "network_export": "self, uid=''",
}


def public(thing: object) -> set[str]:
    return {name for name in vars(thing) if not name.startswith("_")}


def test_the_package_exports_these_names_and_no_other() -> None:
    assert sorted(tiny_gnupg.__all__) == sorted(PACKAGE)
    assert len(tiny_gnupg.__all__) == len(set(tiny_gnupg.__all__))
    names = {
        name
        for name in public(tiny_gnupg)
        if not isinstance(getattr(tiny_gnupg, name), types.ModuleType)
    }
    assert names - {"annotations"} == set(PACKAGE) - {"__version__"}


def test_the_class_has_these_names_and_no_other() -> None:
    names = set().union(*map(public, GnuPG.__mro__[:-1]))
    assert names == {*AWAITED, *PLAIN, *PROPERTIES}


@pytest.mark.parametrize("name", AWAITED)
def test_what_runs_gpg_or_touches_a_file_is_awaited(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(GnuPG, name))


@pytest.mark.parametrize("name", PLAIN)
def test_what_does_neither_is_called(name: str) -> None:
    method = getattr(GnuPG, name)
    assert inspect.isfunction(method)
    assert not inspect.iscoroutinefunction(method)


@pytest.mark.parametrize("name", PROPERTIES)
def test_what_is_read_is_a_property(name: str) -> None:
    assert isinstance(inspect.getattr_static(GnuPG, name), property)


@pytest.mark.not_fast
def test_an_instance_has_these_attributes_and_no_other() -> None:
    assert public(GnuPG()) == set(ATTRIBUTES)


@pytest.mark.parametrize("name", [*AWAITED, *PLAIN, *PROPERTIES])
def test_every_public_name_is_explained(name: str) -> None:
    text = inspect.getdoc(inspect.getattr_static(GnuPG, name)) or ""
    assert text.splitlines()[0].rstrip().endswith((".", ":", "e.g.")), text
    if name not in PROPERTIES:
        asked = inspect.signature(getattr(GnuPG, name)).parameters
        named = [one for one in asked if one not in ("self", "options", "uid")]
        # One or two are told by the sentence itself; more need a list.
        assert "Args:" in text or len(named) <= 3, (name, named)


@pytest.mark.parametrize("name", sorted(set(PACKAGE) - {"__version__"}))
def test_every_exported_name_is_explained(name: str) -> None:
    assert inspect.getdoc(getattr(tiny_gnupg, name))


def test_every_error_and_every_result_is_exported() -> None:
    for name, thing in [*vars(errors).items(), *vars(results).items()]:
        if name.startswith("_") or not inspect.isclass(thing):
            continue
        if issubclass(thing, GnuPGError) or thing.__module__ == results.__name__:
            assert name in PACKAGE, name


def test_an_error_is_a_builtin_only_where_that_is_true_of_it() -> None:
    tree = {
        name: getattr(tiny_gnupg, name)
        for name in PACKAGE
        if inspect.isclass(getattr(tiny_gnupg, name))
        and issubclass(getattr(tiny_gnupg, name), GnuPGError)
    }
    assert set(tree) == {*BUILTINS, *NO_BUILTIN, "GnuPGError"}
    for name, builtin in BUILTINS.items():
        assert issubclass(tree[name], builtin), name
    for name in NO_BUILTIN:
        above = set(tree[name].__mro__) - set(tree.values())
        assert above == {Exception, BaseException, object}, name
    assert issubclass(tiny_gnupg.NotOpenPGP, ValueError)


@pytest.mark.parametrize("name", FROM_0_5_2)
def test_positional_arguments_are_those_of_0_5_2(name: str) -> None:
    parameters = inspect.signature(getattr(GnuPG, name)).parameters.values()
    positional = [
        one.replace(annotation=one.empty)
        for one in parameters
        if one.kind is one.POSITIONAL_OR_KEYWORD
    ]
    assert ", ".join(str(one) for one in positional) == FROM_0_5_2[name]


def test_results_are_frozen_and_enums_closed_to_change() -> None:
    for name in PACKAGE:
        thing = getattr(tiny_gnupg, name)
        if inspect.isclass(thing) and thing.__module__ == results.__name__:
            if issubclass(thing, enum.Enum):
                assert len(thing) > 1
            else:
                assert getattr(thing, "__dataclass_params__").frozen  # noqa: B009
                assert "__slots__" in vars(thing)


def test_every_module_is_explained() -> None:
    for module in pkgutil.iter_modules(tiny_gnupg.__path__, "tiny_gnupg."):
        if module.name != "tiny_gnupg.__main__":
            assert importlib.import_module(module.name).__doc__, module.name
