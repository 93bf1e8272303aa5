# Sourced: certificates made by openssl, shaped like CA Service's (reference: the captured chain of a Compute Engine VM): leaf with an
# empty subject, one critical URI SAN, SEC1 key; chain leaf + issuing CA without root; a blank line between the PEM blocks.

# pki_make DIR TRUST_DOMAIN: root.pem, int.pem and their keys
pki_make() {
    local dir=$1 domain=$2
    mkdir -p "$dir"
    openssl ecparam -name prime256v1 -genkey -noout -out "$dir/root.key"
    openssl req -x509 -new -key "$dir/root.key" -sha256 -days 365 -subj "/O=$domain/CN=root" -out "$dir/root.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
    openssl ecparam -name prime256v1 -genkey -noout -out "$dir/int.key"
    openssl req -new -key "$dir/int.key" -subj "/O=$domain/CN=intermediate" -out "$dir/int.csr" 2>/dev/null
    openssl x509 -req -in "$dir/int.csr" -CA "$dir/root.pem" -CAkey "$dir/root.key" -days 30 -sha256 \
        -set_serial "0x1$(openssl rand -hex 8)" -out "$dir/int.pem" -extfile <(
            printf '%s\n' basicConstraints=critical,CA:TRUE,pathlen:0 keyUsage=critical,keyCertSign,cRLSign \
                subjectKeyIdentifier=hash authorityKeyIdentifier=keyid
        ) 2>/dev/null
}

# pki_leaf DIR SPIFFE_ID OUT: OUT/{certificates.pem,private_key.pem,ca_certificates.pem}; prints the serial number
pki_leaf() {
    local dir=$1 id=$2 out=$3 serial
    serial=1$(openssl rand -hex 8 | cut -c2- | tr a-f A-F)   # an even number of digits, as openssl prints it
    mkdir -p "$out"
    openssl ecparam -name prime256v1 -genkey -noout -out "$out/private_key.pem"     # SEC1
    openssl req -new -key "$out/private_key.pem" -subj / -out "$out/leaf.csr" 2>/dev/null
    openssl x509 -req -in "$out/leaf.csr" -CA "$dir/int.pem" -CAkey "$dir/int.key" -days 1 -sha256 -set_serial "0x$serial" \
        -out "$out/leaf.pem" -extfile <(
            printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature,keyAgreement \
                extendedKeyUsage=serverAuth,clientAuth subjectKeyIdentifier=hash authorityKeyIdentifier=keyid \
                "subjectAltName=critical,URI:$id"
        ) 2>/dev/null
    { cat "$out/leaf.pem"; echo; cat "$dir/int.pem"; } > "$out/certificates.pem"
    cp "$dir/root.pem" "$out/ca_certificates.pem"
    rm "$out/leaf.csr" "$out/leaf.pem"
    echo "$serial"
}

# bundle_map TRUST_DOMAIN ROOT_PEM: the SPIFFE bundle map of the newer agent
bundle_map() {
    printf '{"trust_domains":{"%s":{"keys":[{"use":"x509-svid","kty":"EC","x5c":["%s"]}],"spiffe_sequence":1}}}\n' \
        "$1" "$(openssl x509 -in "$2" -outform DER | base64 -w0)"
}

# swap PARENT FROM HOW: replaces PARENT/workload-spiffe-credentials by a copy of FROM, as Google's agents do
swap() {
    local parent=$1 from=$2 how=$3 contents old
    contents=$(mktemp -d "$parent/workload-spiffe-contents-XXXXXX")
    chmod 755 "$contents"
    old=$(readlink "$parent/workload-spiffe-credentials" || true)
    case $how in
    legacy) # ca_certificates.pem and config_status; one atomic rename
        echo '{"partnerMetadataConfigsErrors": {}}' > "$contents/config_status"
        cp "$from/certificates.pem" "$from/private_key.pem" "$from/ca_certificates.pem" "$contents/"
        chmod 644 "$contents"/*     # the key too: so do the agents
        ln -s "$contents" "$parent/link.tmp"
        mv -T "$parent/link.tmp" "$parent/workload-spiffe-credentials" ;;
    current) # trust_bundles.json; the public link is removed before the rename
        cp "$from/private_key.pem" "$from/certificates.pem" "$from/trust_bundles.json" "$contents/"
        chmod 644 "$contents"/*
        ln -s "$contents" "$parent/link.tmp"
        rm -f "$parent/workload-spiffe-credentials"
        mv -T "$parent/link.tmp" "$parent/workload-spiffe-credentials" ;;
    esac
    [ -z "$old" ] || rm -rf "$old"
}
