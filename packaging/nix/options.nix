# The configuration file as NixOS options, made from its JSON schema: { lib, schema } → { type, written }.
#
# `type`: every key an option that is null unless given, so that the file holds only what somebody said.
# `written`: what was given, without the nulls and the sections that nothing was said about.
# A key that the schema lacks is let through here: check.nix says what was probably meant.
{ lib, schema }:

let
  inherit (lib) mkOption mkOptionType types;
  inherit (import ./check.nix { inherit schema; }) expectedOf fits resolved;

  isSection = kind: kind ? properties;

  # What only Kubernetes can honour stays out of the manual; check.nix looks at it.
  isForTheChart = kind: kind.description or "" == "Read by the Helm chart only.";

  typeOf = written:
    let
      kind = resolved written;
      plain =
        if isSection kind then section kind
        else if kind ? items then types.listOf (typeOf kind.items)
        else if kind ? additionalProperties then types.attrsOf (typeOf kind.additionalProperties)
        else mkOptionType {
          name = "mnedge";
          description = expectedOf kind;
          descriptionClass = "noun";
          check = fits kind;
          merge = lib.mergeEqualOption;
        };
    in
    if kind.nullable or false then types.nullOr plain else plain;

  told = kind:
    let
      about = kind.description or (resolved kind).description or "";
      words = builtins.filter (part: builtins.isString part && part != "") (builtins.split "[[:space:]]+" about);
      left = if kind ? default && !(isSection (resolved kind))
        then "Left out: `${builtins.toJSON kind.default}`." else "";
    in
    builtins.concatStringsSep " " (builtins.filter (part: part != "") [ (builtins.concatStringsSep " " words) left ]);

  optionOf = required: name: written:
    let
      kind = resolved written;
      always = isSection kind && !(kind.nullable or false);
    in
    mkOption (
      { description = told written; }
      // (if builtins.elem name required then { type = typeOf written; }
      else if always then { type = typeOf written; default = { }; }
      else { type = if kind.nullable or false then typeOf written else types.nullOr (typeOf written); default = null; })
    );

  optionsOf = kind:
    let
      names = builtins.filter (name: !(isForTheChart kind.properties.${name})) (builtins.attrNames kind.properties);
      one = name: { inherit name; value = optionOf (kind.required or [ ]) name kind.properties.${name}; };
    in
    builtins.listToAttrs (map one names);

  section = kind: types.submodule {
    freeformType = types.attrsOf types.anything;
    options = optionsOf kind;
  };

  stripped = written: value:
    let
      kind = resolved written;
      given = name:
        let found = value.${name}; in
        if !(kind.properties ? ${name}) then [ { inherit name; value = found; } ]
        else
          let
            inner = resolved kind.properties.${name};
            plain = stripped inner found;
            silent = found == null || (isSection inner && !(inner.nullable or false) && plain == { });
          in
          if silent then [ ] else [ { inherit name; value = plain; } ];
    in
    if value == null then null
    else if isSection kind && builtins.isAttrs value
    then builtins.listToAttrs (builtins.concatLists (map given (builtins.attrNames value)))
    else if kind ? items && builtins.isList value then map (stripped kind.items) value
    else if builtins.isAttrs (kind.additionalProperties or null) && builtins.isAttrs value
    then builtins.mapAttrs (_: stripped kind.additionalProperties) value
    else value;
in
{
  type = section (resolved schema);
  written = stripped schema;
}
