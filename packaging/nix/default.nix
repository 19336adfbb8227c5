# callPackage ./default.nix { } or { small = true; }
{ lib
, fetchurl
, python3
, rustPlatform
  # Only what boards get.
, small ? false
  # Servers forbid themselves by Landlock all files but those they answer from.
, sandbox ? false
}:

rustPlatform.buildRustPackage rec {
  pname = if small then "nssbox-small" else "nssbox";
  version = "@VERSION@";

  src = fetchurl {
    url = "@SITE@/nssbox-${version}.tar.xz";
    sha256 = "@SHA256@";
  };

  # All crates are in the source.
  cargoVendorDir = "vendor";
  buildNoDefaultFeatures = true;
  buildFeatures = [ (if small then "small" else "default") ] ++ lib.optional sandbox "sandbox";

  nativeBuildInputs = [ python3 ];

  # The tests take root and namespaces.
  doCheck = false;

  postInstall = ''
    python3 build/install --executable "$out/bin/nssbox" --services systemd / "$out"
  '';

  meta = {
    description = "Users and groups for small machines, in one executable";
    homepage = "@SITE@";
    license = with lib.licenses; [ mit asl20 ];
    platforms = lib.platforms.linux;
    mainProgram = "nssbox";
  };
}
