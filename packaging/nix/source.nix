# The sources of a checkout without what setup, tools and builds leave in it; a flake brings them clean.
{ lib }:
lib.cleanSourceWith {
  src = ../..;
  name = "mnedge-source";
  filter = path: type:
    let name = baseNameOf path; in
    !(builtins.elem name [
      ".git" ".venv" ".make" "build" "dist" "__pycache__" ".mypy_cache" ".ruff_cache" ".pytest_cache"
      ".hypothesis" ".import_linter_cache" ".benchmarks" "result"
    ]) && builtins.match ".*\\.(so|o|pyc)|result-.*" name == null;
}
