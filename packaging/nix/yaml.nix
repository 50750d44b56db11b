# A value as YAML that every version of it reads alike: texts in JSON's quotes, numbers with their dot.
let
  text = import ./text.nix;
  inherit (builtins) attrNames concatStringsSep isAttrs isFloat isList match toJSON;

  # Bare where no reader can take it for something else: `on` and `no` are truth values to some.
  key = name:
    if match "[A-Za-z][A-Za-z0-9_]+" name != null
      && match "[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF|[Tt]rue|TRUE|[Ff]alse|FALSE|[Nn]ull|NULL" name == null
    then name else text.quoted name;

  # 1e-05 is a text to YAML 1.1; 1.0e-05 is a number to all.
  scalar = value:
    let parts = match "(-?[0-9]+)(e.*)?" (toJSON value); in
    if isFloat value && parts != null
    then concatStringsSep "" [ (builtins.head parts) ".0" (let e = builtins.elemAt parts 1; in if e == null then "" else e) ]
    else toJSON value;

  isBlock = value: (isAttrs value || isList value) && value != { } && value != [ ];

  # Without its first indentation, for what stands behind a dash.
  block = indent: value:
    let
      deeper = "${indent}  ";
      under = inner: if isBlock inner then "\n${deeper}${block deeper inner}" else " ${scalar inner}";
      item = inner: if isBlock inner then "- ${block deeper inner}" else "- ${scalar inner}";
    in
    concatStringsSep "\n${indent}" (
      if isList value then map item value
      else map (name: "${key name}:${under value.${name}}") (attrNames value)
    );
in
value: if isBlock value then "${block "" value}\n" else "${scalar value}\n"
