// A receiver with Bouncy Castle: opens one part, a CMS AuthEnvelopedData, with the key-encryption key in hex; clear text to a file.
import java.io.*;
import java.nio.file.*;
import java.security.*;
import javax.crypto.*;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.InputAEADDecryptor;
import org.bouncycastle.util.encoders.Hex;

public class OpenPart {
  static class Recipient extends JceKEKRecipient {
    Recipient(SecretKey key) { super(key); }

    public RecipientOperator getRecipientOperator(AlgorithmIdentifier wrap, final AlgorithmIdentifier content, byte[] wrapped) throws CMSException {
      final Key key = extractSecretKey(wrap, content, wrapped);
      final Cipher cipher;
      try {
        AlgorithmParameters parameters = AlgorithmParameters.getInstance("GCM", "BC");
        parameters.init(content.getParameters().toASN1Primitive().getEncoded());
        cipher = Cipher.getInstance("AES/GCM/NoPadding", "BC");
        cipher.init(Cipher.DECRYPT_MODE, key, parameters);
      } catch (Exception e) {
        throw new CMSException("content cipher", e);
      }
      return new RecipientOperator(new InputAEADDecryptor() {
        public AlgorithmIdentifier getAlgorithmIdentifier() { return content; }
        public InputStream getInputStream(InputStream in) { return new javax.crypto.CipherInputStream(in, cipher) {
          // javax's stream hides a wrong tag; here it must be heard.
          private byte[] clear; private int at;
          private void open() throws IOException {
            if (clear != null) return;
            try { clear = cipher.doFinal(in.readAllBytes()); } catch (GeneralSecurityException e) { throw new IOException("tag", e); }
          }
          public int read() throws IOException { open(); return at < clear.length ? clear[at++] & 255 : -1; }
          public int read(byte[] b, int o, int n) throws IOException { open(); if (at >= clear.length) return -1; int k = Math.min(n, clear.length - at); System.arraycopy(clear, at, b, o, k); at += k; return k; }
        }; }
        public OutputStream getAADStream() { return new ByteArrayOutputStream(); }
        public byte[] getMAC() { return new byte[16]; }
      });
    }
  }

  public static void main(String[] args) throws Exception {
    Security.addProvider(new BouncyCastleProvider());
    SecretKey kek = new SecretKeySpec(Hex.decode(args[1]), "AES");
    CMSAuthEnvelopedData part = new CMSAuthEnvelopedData(Files.readAllBytes(Path.of(args[0])));
    RecipientInformation recipient = part.getRecipientInfos().getRecipients().iterator().next();
    Files.write(Path.of(args[2]), recipient.getContent(new Recipient(kek).setProvider("BC")));
  }
}
